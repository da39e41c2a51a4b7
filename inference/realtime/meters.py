"""What a live conversion shows: load, levels and counters."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

WINDOW = 50  # blocks that the load is of
COMFORTABLE = 0.7  # load that leaves room for what else a computer does
_FALL = 20.0  # dB/s, of a level meter
_LOWEST = -90.0  # dB


class LoadMeter:
    """Share of the time that computing takes: 1 is all there is."""

    def __init__(self, block: float) -> None:
        self.block = block  # s
        self._times: deque[float] = deque(maxlen=WINDOW)

    def add(self, seconds: float) -> None:
        """Count a block that took so long to compute."""
        self._times.append(seconds)

    @property
    def p95(self) -> float:
        """Of the last 50 blocks, the load that 95 of 100 stay below; 0 if there were none."""
        return float(np.percentile(self._times, 95)) / self.block if self._times else 0.0

    @property
    def suggestion(self) -> int:
        """Block in ms with which the load would be comfortable; 0 if it is.

        A block's cost hardly depends on its length: most of it is for the context.
        """
        load = self.p95
        return 0 if load <= COMFORTABLE else 5 * math.ceil(200 * self.block * load / COMFORTABLE)


class LevelMeter:
    """Peak level in dB below full scale, which falls slowly enough to be read."""

    def __init__(self) -> None:
        self.level = _LOWEST

    def add(self, audio: np.ndarray, seconds: float) -> None:
        """Take the samples (T,) of the last so many seconds."""
        peak = float(np.abs(audio).max(initial=0.0))
        now = 20 * math.log10(peak) if peak > 0 else _LOWEST
        self.level = max(now, self.level - _FALL * seconds, _LOWEST)


@dataclass(frozen=True)
class LiveStatus:
    """How a live conversion does."""

    latency: float  # s, from the input's callback to the output's, and the look-ahead
    algorithmic: float  # s, if computing and devices took no time
    load: float  # p95 over 50 blocks, 1 is all the time there is
    suggestion: int  # ms, a block with a comfortable load; 0 if it is comfortable
    input_level: float  # dB below full scale, peak
    output_level: float
    underruns: int  # times that the output had nothing to play
    skipped: int  # blocks that were too old when their turn came
    lost: float  # s of input that came faster than it was taken
    speed: float  # relative change of the playback's speed that makes up for the clocks
    seconds: float  # of sound so far
