"""A recording as a stream through an engine, each block timed."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from inference.realtime.engine import RealtimeEngine


@dataclass(frozen=True, eq=False)
class TimedStream:
    """What came out, and how long each block took."""

    audio: np.ndarray  # (T,), without the delay
    times: np.ndarray  # (blocks,), s

    def load(self, engine: RealtimeEngine) -> float:
        """95 of 100 blocks take this share of their time, or less."""
        return float(np.percentile(self.times, 95)) * engine.sampling_rate / engine.block


def stream(engine: RealtimeEngine, audio: np.ndarray) -> TimedStream:
    """Convert ``audio`` (T,) block by block, after a warm-up."""
    engine.warm_up()
    padded = np.pad(audio, (0, engine.delay + (-len(audio) - engine.delay) % engine.block))
    parts, times = [], []
    for start in range(0, len(padded), engine.block):
        began = time.perf_counter()
        parts.append(engine.process(padded[start : start + engine.block]))
        times.append(time.perf_counter() - began)
    return TimedStream(np.concatenate(parts)[engine.delay :][: len(audio)], np.array(times))
