"""The gain that brings a result within full scale.

A result that would clip is attenuated as a whole, since limiting its peaks distorts. But a few
peaks far above everything else, as a model gives where it has learnt next to nothing, would
make the whole song inaudible: they alone are lowered, smoothly.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

HIGHEST = 0.99  # of full scale, peak of an attenuated result
WINDOW = 0.02  # s, over which a peak is measured and lowered: one period of the lowest voice
RARE = 0.1  # s of a song at most that counts as a few peaks
FAR = 2.0  # times the highest other peak, from which on they are far above: 6 dB

logger = logging.getLogger(__name__)


class PeakMeter:
    """Peaks of a recording that comes in blocks, one per ``WINDOW``."""

    def __init__(self, sampling_rate: int) -> None:
        self.window = max(1, round(WINDOW * sampling_rate))
        self._rest, self._peaks = np.zeros(0, np.float32), [np.zeros(0, np.float32)]

    def feed(self, audio: np.ndarray) -> None:
        """Add the next samples (T,) or (T, channels), any number of them."""
        audio = np.abs(audio) if audio.ndim == 1 else np.abs(audio).max(1)
        audio = np.concatenate([self._rest, audio])
        whole = len(audio) // self.window * self.window
        self._peaks.append(audio[:whole].reshape(-1, self.window).max(1))
        self._rest = audio[whole:]

    def peaks(self) -> np.ndarray:
        """Peaks (W,) of everything fed so far, full scale 1."""
        return np.concatenate([*self._peaks, *([self._rest.max(keepdims=True)] if len(self._rest) else [])])


class PeakGain:
    """Gain for a result with peaks (W,) of windows of so many samples; logs what it does to ``path``."""

    def __init__(self, peaks: np.ndarray, window: int, path: str | Path) -> None:
        self.window = window
        few = round(RARE / WINDOW)
        highest, rest = (float(np.sort(peaks)[-n]) if len(peaks) >= n else 0.0 for n in (1, few + 1))
        self.whole, self.local = 1.0, np.ones(0)
        rest = max(rest, HIGHEST)
        if highest <= 1.0:
            return
        if len(peaks) <= few or highest <= FAR * rest:
            self.whole = HIGHEST / highest
            logger.warning("%s: attenuated by %.1f dB to avoid clipping", path, -20 * math.log10(self.whole))
            return
        self.whole = HIGHEST / rest
        gains = np.minimum(1.0, HIGHEST / (peaks * self.whole).clip(HIGHEST))
        first, n = int(np.argmax(gains < 1)), int((gains < 1).sum())
        logger.warning(
            "%s: %.2f s of it, first at %.2f s, are up to %.1f dB louder than all the rest and were lowered",
            *(path, n * WINDOW, first * WINDOW, 20 * math.log10(highest / rest)),
        )
        beside = np.pad(gains, 1, constant_values=1.0)
        self.local = np.minimum(gains, np.minimum(beside[:-2], beside[2:]))  # low before the peak begins

    def apply(self, blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the blocks, (T,) or (T, channels), of the result times the gain."""
        position = 0
        centres = (np.arange(len(self.local)) + 0.5) * self.window
        for block in blocks:
            gain = np.float32(self.whole)
            if len(centres):
                times = np.arange(position, position + len(block))
                gain = (self.whole * np.interp(times, centres, self.local)).astype(np.float32)
            position += len(block)
            yield block * (gain if block.ndim == 1 or gain.ndim == 0 else gain[:, None])
