"""The latency that is: noise bursts go out, and when they come back in is looked for.

The output must be connected to the input, by a cable, a virtual sound card, or a
loudspeaker and a microphone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inference.realtime.engine import RealtimeEngine
from modules.common.errors import DeviceError

N_BURSTS = 4
_LENGTH, _EVERY, _FIRST = 0.1, 0.8, 1.5  # s
_LEVEL = 0.2  # of full scale, RMS
_CLEAR = 8.0  # times the usual correlation, from which on a burst was heard
SECONDS = _FIRST + (N_BURSTS + 0.5) * _EVERY  # that a measurement takes


@dataclass(frozen=True)
class LoopbackResult:
    """A measured latency."""

    latency: float  # s, from a sound at the microphone to the same, converted, at the loudspeaker
    spread: float  # s, from the earliest to the latest burst
    found: int  # bursts that came back


class LoopbackProbe:
    """In the place of an engine: computes as it does, but gives out bursts, and keeps what comes in."""

    def __init__(self, engine: RealtimeEngine) -> None:
        self._engine = engine
        self.block, self.delay = engine.block, engine.delay
        self.sampling_rate, self.latency = engine.sampling_rate, engine.latency
        rate = self.sampling_rate
        self._bursts = [
            np.random.default_rng(number).normal(0, _LEVEL, round(_LENGTH * rate)).astype(np.float32)
            for number in range(N_BURSTS)
        ]
        self._starts = [round((_FIRST + number * _EVERY) * rate) for number in range(N_BURSTS)]
        self._out = np.zeros(self._starts[-1] + round(2 * _EVERY * rate), np.float32)
        for start, burst in zip(self._starts, self._bursts, strict=True):
            self._out[start : start + len(burst)] = burst
        self._heard: list[np.ndarray] = []

    def process(self, audio: np.ndarray) -> np.ndarray:
        """Keep a block; return the next one of the bursts."""
        self._engine.process(audio)
        start = len(self._heard) * self.block
        self._heard.append(audio.copy())
        part = self._out[start : start + self.block]
        return np.pad(part, (0, self.block - len(part)))

    def hear(self, audio: np.ndarray) -> None:
        """Keep a block that comes too late for an answer."""
        self._engine.hear(audio)
        self._heard.append(audio.copy())

    def result(self) -> LoopbackResult:
        """What was heard of the bursts.

        Raises:
            DeviceError: Fewer than half of them came back.
        """
        heard = np.concatenate(self._heard or [np.zeros(1, np.float32)])
        times = []
        for start, burst in zip(self._starts, self._bursts, strict=True):
            part = heard[start : start + round(2 * _EVERY * self.sampling_rate)]
            if len(part) < len(burst):
                continue
            match = np.abs(_correlation(part, burst))
            if match.max() > _CLEAR * np.sqrt(np.square(match).mean()) > 0:
                times.append(int(match.argmax()) / self.sampling_rate)
        if len(times) < N_BURSTS // 2:
            raise DeviceError(
                f"only {len(times)} of {N_BURSTS} noise bursts came back: connect the output with the input, "
                "by a cable, a virtual sound card, or a loudspeaker beside the microphone"
            )
        return LoopbackResult(
            latency=float(np.median(times)) + self.delay / self.sampling_rate,
            spread=max(times) - min(times),
            found=len(times),
        )


def _correlation(audio: np.ndarray, burst: np.ndarray) -> np.ndarray:
    """Correlation of ``burst`` with ``audio`` (T,) at each lag that it fits at."""
    length = len(audio) + len(burst)
    product = np.fft.rfft(audio, length) * np.conj(np.fft.rfft(burst, length))
    lags: np.ndarray = np.fft.irfft(product, length)[: len(audio) - len(burst) + 1]
    return lags
