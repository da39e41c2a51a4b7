"""The module ``sounddevice`` over sound cards that exist in virtual time alone.

Each card has a clock of its own, which may be fast or slow, and may call late, drop calls,
be unplugged and come back. :meth:`FakePortAudio.run` lets time pass: callbacks come when
they are due, also while the computer is busy (:meth:`FakePortAudio.spend`).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np


class PortAudioError(Exception):
    pass


@dataclass
class Card:
    """A sound card; ``sound(times) -> samples`` is what its microphone hears at true times, s."""

    name: str
    inputs: int = 0
    outputs: int = 0
    rate: float = 48000.0
    rates: tuple[float, ...] = (44100.0, 48000.0)
    error: float = 0.0  # share by which its clock is fast
    sound: Callable[[np.ndarray], np.ndarray] = lambda times: np.zeros(len(times), np.float32)
    busy: bool = False
    plugged: bool = True
    late: Callable[[int], float] = lambda call: 0.0  # s by which a call comes too late
    dropped: Callable[[int], bool] = lambda call: False  # whether a call never comes
    keep: bool = True
    played: list[tuple[float, np.ndarray]] = field(default_factory=list)  # true time, samples


class _Stream:
    latency = 0.0

    def __init__(self, world: FakePortAudio, kind: str, **settings: Any) -> None:
        self.world, self.kind = world, kind
        self.card = world.cards[settings["device"]]
        self.rate, self.size = settings["samplerate"], settings["blocksize"]
        self.channels, self.callback = settings["channels"], settings["callback"]
        world.check(kind, **{name: settings[name] for name in ("device", "channels", "samplerate")})
        if self.card.busy:
            raise PortAudioError("Device unavailable")
        self.running, self.calls = False, 0

    def start(self) -> None:
        self.running, self.began = True, self.world.now
        self._wait()

    def _due(self, call: int) -> float:
        return self.began + (call + 1) * self.size / (self.rate * (1 + self.card.error))

    def _wait(self) -> None:
        self.world.at(self._due(self.calls) + self.card.late(self.calls), self._call)

    def _call(self) -> None:
        if not self.running or not self.card.plugged:
            return
        call, self.calls = self.calls, self.calls + 1
        if not self.card.dropped(call):
            first = self._due(call - 1)
            if self.kind == "input":
                times = first + np.arange(self.size) / (self.rate * (1 + self.card.error))
                audio = np.repeat(self.card.sound(times)[:, None], self.channels, 1).astype(np.float32)
                self.callback(audio, self.size, None, None)
            else:
                audio = np.empty((self.size, self.channels), np.float32)
                self.callback(audio, self.size, None, None)
                if self.card.keep:
                    self.card.played.append((first, audio[:, 0].copy()))
        self._wait()

    @property
    def active(self) -> bool:
        return self.running and self.card.plugged

    def abort(self) -> None:
        self.running = False
        if not self.card.plugged:
            raise PortAudioError("Device unavailable")

    def close(self) -> None:
        self.running = False


class FakePortAudio:
    """Stands in for the module; ``monkeypatch.setitem(sys.modules, "sounddevice", FakePortAudio(...))``."""

    PortAudioError = PortAudioError

    def __init__(self, *cards: Card) -> None:
        self.cards, self.now = list(cards), 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self.opened: list[_Stream] = []

    # the module

    @property
    def default(self) -> Any:
        return SimpleNamespace(device=[self._first("inputs"), self._first("outputs")])

    def _first(self, kind: str) -> int:
        return next((n for n, card in enumerate(self.cards) if card.plugged and getattr(card, kind)), -1)

    def query_hostapis(self) -> list[dict[str, Any]]:
        return [{"name": "Virtual"}]

    def query_devices(self) -> list[dict[str, Any]]:
        return [
            {
                "name": card.name,
                "hostapi": 0,
                "max_input_channels": card.inputs * card.plugged,
                "max_output_channels": card.outputs * card.plugged,
                "default_samplerate": card.rate,
            }
            for card in self.cards
        ]

    def check(self, kind: str, device: int, channels: int, samplerate: float, dtype: str = "float32") -> None:
        if samplerate not in self.cards[device].rates:
            raise PortAudioError("Invalid sample rate")

    def check_input_settings(self, **settings: Any) -> None:
        self.check("input", **settings)

    def check_output_settings(self, **settings: Any) -> None:
        self.check("output", **settings)

    def InputStream(self, **settings: Any) -> _Stream:
        return self._open("input", settings)

    def OutputStream(self, **settings: Any) -> _Stream:
        return self._open("output", settings)

    def _open(self, kind: str, settings: dict[str, Any]) -> _Stream:
        stream = _Stream(self, kind, **settings)
        self.opened.append(stream)
        return stream

    def _terminate(self) -> None: ...

    def _initialize(self) -> None: ...

    # virtual time

    def clock(self) -> float:
        return self.now

    def at(self, time: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._events, (time, self._count, call))
        self._count += 1

    def spend(self, seconds: float) -> None:
        """Let time pass while the computer computes: callbacks alone come."""
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            time, _, call = heapq.heappop(self._events)
            self.now = max(self.now, time)
            call()
        self.now = end

    def run(self, seconds: float, idle: Callable[[], object] = lambda: None) -> None:
        """Let time pass; ``idle`` is called after each callback."""
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            time, _, call = heapq.heappop(self._events)
            self.now = max(self.now, time)
            call()
            idle()
        self.now = max(self.now, end)
