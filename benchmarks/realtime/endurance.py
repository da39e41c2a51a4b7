"""A long live conversion: latency, underruns and memory, from its first minutes to its last.

"hour" lets virtual sound cards call, whose clocks differ by 200 ppm. Every fifth block is rendered,
and takes as much of the virtual time as its thread spent; the others are heard alone and take as
long as one of the last of those, so that an hour passes in minutes. "real" takes its time: a file in the
place of the sound cards.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np
import psutil

from benchmarks.measure import table, temporary_folder
from inference.converter import Converter
from inference.options import ConvertOptions
from inference.realtime.devices import DeviceStreams, find_device
from inference.realtime.engine import RealtimeEngine
from inference.realtime.files import Pacer
from inference.realtime.meters import LiveStatus
from inference.realtime.runner import Worker, undisturbed
from inference.realtime.session import LiveSession
from inference.realtime.settings import RealtimeSettings
from modules.dsp.audio import read_audio, write_audio
from tests.inference.realtime.fake_portaudio import Card, FakePortAudio

_CLOCKS = 120e-6, -80e-6  # share by which input and output are fast
_SETTLED = 20.0  # s, until the speed follows the clocks
_TICK = 1.0  # s between two looks
_SHIFTS = 5  # readings in a look: one may fall between a callback's samples and their count
_RENDERED = 5  # blocks of "hour" of which one is rendered
_RECENT = 200  # rendered blocks whose times the others take; as many come first, all rendered


class _Timed:
    """An engine whose blocks are timed; with ``spend``, some are rendered, and all pass in virtual time."""

    def __init__(
        self,
        engine: RealtimeEngine,
        clock: Callable[[], float],
        spend: Callable[[float], None] | None = None,
    ) -> None:
        self._engine, self._clock, self._spend, self._count = engine, clock, spend, 0
        self._draws = np.random.default_rng(0)
        self.spent: list[float] = []  # s of each block that was rendered

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    def process(self, audio: np.ndarray) -> np.ndarray:
        self._count += 1
        if self._spend and self._count % _RENDERED and len(self.spent) > _RECENT:
            self._engine.hear(audio)
            self._spend(self.spent[-self._draws.integers(1, _RECENT + 1)])
            return np.zeros(self._engine.block, np.float32)
        began = self._clock()
        result = self._engine.process(audio)
        self.spent.append(self._clock() - began)
        if self._spend:
            self._spend(self.spent[-1])
        return result


class _Log:
    """What is looked at every second."""

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.shifts: list[float] = []
        self.memory: list[int] = []

    def look(self, session: LiveSession) -> None:
        self.latencies.append(session.latency)
        self.shifts.append(float(np.median([session.shift for _ in range(_SHIFTS)])))
        self.memory.append(psutil.Process().memory_info().rss)

    def row(self, name: str, status: LiveStatus, loads: np.ndarray, one_clock: bool) -> list[str]:
        settled, shifts = (
            1000 * np.array(values[round(_SETTLED / _TICK) :]) for values in (self.latencies, self.shifts)
        )
        marks = [self.memory[round(share * (len(self.memory) - 1))] for share in (0.1, 0.5, 1)]
        return [
            name,
            f"{status.seconds / 60:.0f} min",
            f"{settled.min():.1f} to {settled.max():.1f} ms",
            f"{np.ptp(shifts):.2f} ms" if one_clock else "–",
            f"{100 * np.percentile(loads, 95):.0f} %, at most {100 * loads.max():.0f} %",
            f"{status.underruns}",
            f"{status.skipped}",
            ", ".join(f"{mark / 2**20:.1f}" for mark in marks) + " MB",
        ]


HEADER = [
    "",
    "time",
    "latency after 20 s, as estimated",
    "by how much the sound moves",
    "load (p95)",
    "underruns",
    "skipped",
    "memory at 10, 50 and 100 %",
]


def measure(options: ConvertOptions, song: Path, key: float, hour: float, real: float) -> None:
    """Print the table; ``hour`` and ``real`` are minutes in virtual and in real time, 0 leaves one out."""
    converter = Converter(options)
    speaker = next(iter(converter.config.spk))
    build: Callable[[], RealtimeEngine] = lambda: RealtimeEngine(converter, RealtimeSettings(), speaker, key)  # noqa: E731
    audio, _ = read_audio(song, converter.sampling_rate)
    rows = []
    if hour:
        rows.append(_virtual(build(), audio, 60 * hour))
    if real:
        rows.append(_real(build(), audio, 60 * real))
    table(HEADER, rows)


def _virtual(engine: RealtimeEngine, audio: np.ndarray, seconds: float) -> list[str]:
    rate, log = engine.sampling_rate, _Log()
    microphone = Card(
        "Mic", inputs=1, error=_CLOCKS[0], sound=lambda t: audio[(t * rate).astype(int) % len(audio)]
    )
    world = FakePortAudio(microphone, Card("Phones", outputs=2, error=_CLOCKS[1], keep=False))
    engine.warm_up()
    timed = _Timed(engine, time.thread_time, world.spend)
    with _in_place("sounddevice", world), undisturbed():
        streams = DeviceStreams(find_device("input", None), find_device("output", None))
        rates = streams.rates(rate)
        session = LiveSession(timed, *rates, clock=world.clock)  # type: ignore[arg-type]
        streams.open(session, rates)
        while world.now < seconds:
            until = world.now + _TICK

            def pump(until: float = until) -> None:
                while session.pump() and world.now < until:
                    pass

            world.run(_TICK, pump)
            log.look(session)
    loads = np.array(timed.spent) / session.load.block
    return log.row("virtual sound cards", session.status(), loads, False)


def _real(engine: RealtimeEngine, audio: np.ndarray, seconds: float) -> list[str]:
    rate, log = engine.sampling_rate, _Log()
    engine.warm_up()
    timed = _Timed(engine, time.perf_counter)
    session = LiveSession(timed, rate, rate)  # type: ignore[arg-type]
    with temporary_folder() as folder:
        path = folder / "song.wav"
        write_audio(path, np.tile(audio, 1 + int(seconds * rate) // len(audio)), rate)
        with undisturbed(), Worker(session) as worker, Pacer(session, path, rate, True):
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(_TICK)
                worker.check()
                log.look(session)
    loads = np.array(timed.spent) / session.load.block
    return log.row("real time", session.status(), loads, True)


@contextmanager
def _in_place(name: str, module: object) -> Iterator[None]:
    """Let ``module`` be imported as ``name``."""
    before: ModuleType | None = sys.modules.get(name)
    sys.modules[name] = module  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before
