"""Sound cards, by PortAudio: listing, finding and opening them.

The library is loaded when it is first needed: everything else works without it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from inference.realtime.session import LiveSession
from modules.common.errors import ConfigError, DeviceError
from modules.common.text import normalize_name

PERIOD = 0.005  # s of sound that a callback is asked to have
_GONE = 4.0  # s without a callback, after which a device counts as unplugged; PulseAudio may need 2 to begin

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SoundDevice:
    """An input or an output."""

    number: int
    name: str
    host: str  # the system's interface that it is reached by: ALSA, Core Audio, WASAPI, ASIO ...
    channels: int
    rate: float  # Hz, its usual one
    default: bool

    def __str__(self) -> str:
        mark = "*" if self.default else " "
        return (
            f"{mark}{self.number:3d}  {self.name} ({self.host}), {self.channels} channels, {self.rate:g} Hz"
        )


def _portaudio() -> Any:
    """The module ``sounddevice``."""
    try:
        import sounddevice
    except ImportError:
        raise DeviceError("live conversion needs sounddevice: pip install -r requirements-live.txt") from None
    except OSError:  # the module is there, the library is not
        raise DeviceError(
            "the library PortAudio is missing: apt install libportaudio2 (Debian, Ubuntu), "
            "dnf install portaudio (Fedora), brew install portaudio (macOS)"
        ) from None
    return sounddevice


def list_devices(kind: str) -> list[SoundDevice]:
    """Devices of a ``kind``, "input" or "output"."""
    module = _portaudio()
    hosts = module.query_hostapis()
    default = module.default.device[0 if kind == "input" else 1]
    return [
        SoundDevice(
            number=number,
            name=device["name"],
            host=hosts[device["hostapi"]]["name"],
            channels=device[f"max_{kind}_channels"],
            rate=device["default_samplerate"],
            default=number == default,
        )
        for number, device in enumerate(module.query_devices())
        if device[f"max_{kind}_channels"] > 0
    ]


def find_device(kind: str, wanted: str | None) -> SoundDevice:
    """Find the device with a number, or a part of a name, or the system's default if None.

    Raises:
        DeviceError: There is none, or several; lists them.
    """
    devices = list_devices(kind)
    if not devices:
        raise DeviceError(f"there is no sound {kind} on this computer")
    shown = ", ".join(f"{device.number} {device.name!r}" for device in devices)
    if wanted is None:
        found = [device for device in devices if device.default] or devices[:1]
    elif wanted.isdecimal():
        found = [device for device in devices if device.number == int(wanted)]
    else:
        name = _plain(wanted)
        same = [device for device in devices if _plain(device.name) == name]
        found = same or [device for device in devices if name in _plain(f"{device.name} {device.host}")]
    if len(found) == 1 or (found and len({device.name for device in found}) == 1):
        return found[0]  # one card that several hosts reach: the first host is PortAudio's choice
    problem = "there is no" if not found else "several are called like the"
    raise DeviceError(f"{problem} sound {kind} {wanted!r}; there are: {shown}")


def _plain(name: str) -> str:
    return normalize_name(name).casefold()


class DeviceStreams:
    """An open input and output, which a session's callbacks serve; either may be None.

    Raises:
        DeviceError: One cannot be opened: it is in use, or has no usable rate.
    """

    def __init__(self, source: SoundDevice | None, sink: SoundDevice | None, exclusive: bool = False) -> None:
        self.source, self.sink, self._exclusive = source, sink, exclusive
        self._streams: list[Any] = []
        self._calls: dict[str, int] = {}
        self._seen: tuple[dict[str, int], float] = ({}, 0.0)

    def rates(self, preferred: int) -> tuple[float, float]:
        """Rates, Hz, to open the input and the output with: the preferred one, or their usual ones."""
        return self._rate("input", self.source, preferred), self._rate("output", self.sink, preferred)

    def _rate(self, kind: str, device: SoundDevice | None, preferred: int) -> float:
        if device is None:
            return preferred
        module = _portaudio()
        check = getattr(module, f"check_{kind}_settings")
        try:
            check(
                device=device.number, channels=min(2, device.channels), samplerate=preferred, dtype="float32"
            )
        except module.PortAudioError:
            return device.rate
        return preferred

    def open(self, session: LiveSession, rates: tuple[float, float]) -> None:
        """Start the streams."""

        def capture(audio: np.ndarray, frames: int, time: Any, status: Any) -> None:
            self._calls["input"] += 1
            session.capture(audio)

        def playback(audio: np.ndarray, frames: int, time: Any, status: Any) -> None:
            self._calls["output"] += 1
            audio[:] = session.playback(frames)[:, None]

        self._calls = dict.fromkeys(("input", "output"), 0)
        try:
            # the output first: what comes in has somewhere to go
            for kind, device, rate, callback in (
                ("output", self.sink, rates[1], playback),
                ("input", self.source, rates[0], capture),
            ):
                if device:
                    self._streams.append(self._open(kind, device, rate, callback))
        except BaseException:
            self.close()
            raise

    def _open(self, kind: str, device: SoundDevice, rate: float, callback: Callable[..., None]) -> Any:
        module = _portaudio()
        extra = None
        if self._exclusive:
            if "WASAPI" not in device.host:
                raise ConfigError(
                    f"--exclusive is for WASAPI devices, and {device.name} is one of {device.host}"
                )
            extra = module.WasapiSettings(exclusive=True)
        try:
            stream = getattr(module, f"{kind.capitalize()}Stream")(
                device=device.number,
                samplerate=rate,
                blocksize=round(PERIOD * rate),
                channels=min(2, device.channels),
                dtype="float32",
                latency="low",
                callback=callback,
                extra_settings=extra,
            )
            stream.start()
        except module.PortAudioError as error:
            reason = str(error.args[0] if error.args else error)
            hint = "; another program may be using it" if "unavailable" in reason.lower() else ""
            raise DeviceError(
                f"the sound {kind} {device.name!r} cannot be opened at {rate:g} Hz: {reason}{hint}"
            ) from None
        return stream

    @property
    def latency(self) -> float:
        """Time in s that the cards and their drivers add, as they say themselves."""
        return float(sum(stream.latency for stream in self._streams))

    def alive(self, now: float) -> bool:
        """Whether both devices still call, at ``now``, s."""
        calls, since = self._seen
        if any(count == calls.get(kind) for kind, count in self._used().items()):
            return now - since < _GONE and all(stream.active for stream in self._streams)
        self._seen = dict(self._used()), now
        return True

    def _used(self) -> dict[str, int]:
        there = {"input": self.source, "output": self.sink}
        return {kind: count for kind, count in self._calls.items() if there[kind]}

    def close(self) -> None:
        """Stop; also where the devices are gone."""
        streams, self._streams = self._streams, []
        for stream in streams:
            with suppress(_portaudio().PortAudioError):  # of an unplugged device
                stream.abort()
            with suppress(_portaudio().PortAudioError):
                stream.close()

    def find_again(self) -> bool:
        """After :meth:`close`, look whether devices of the same names are there."""
        module = _portaudio()
        module._terminate()  # the list of devices is made when PortAudio starts
        module._initialize()
        again = []
        for kind, device in (("input", self.source), ("output", self.sink)):
            there = [] if device is None else [d for d in list_devices(kind) if d.name == device.name]
            if device is not None and not there:
                return False
            again.append(there[0] if there else None)
        self.source, self.sink = again
        return True
