"""WORLD's two pitch trackers (Morise), by pyworld: dio, the default of preprocessing, and harvest.

harvest misses less in breathy and low voices and takes many times longer.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pyworld

from modules.f0_predictor.base import F0Predictor


class WorldPredictor(F0Predictor):
    """Runs one of the trackers and refines it with stonemask; ``threshold`` is not used."""

    window_follows_floor = True

    def __init__(self, *args: Any, algorithm: Literal["dio", "harvest"], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._estimate = getattr(pyworld, algorithm)

    def _track(self, audio: np.ndarray, n_frames: int) -> np.ndarray:
        # frame i of WORLD is at i * frame_period, as in this project: cutting is enough
        found = self.raw(audio)[:n_frames]
        return np.pad(found, (0, n_frames - len(found)))

    def raw(self, audio: np.ndarray) -> np.ndarray:
        """WORLD's own frames of ``audio`` (T,): (T // hop_length + 1,) Hz, 0 where unvoiced."""
        samples, period = audio.astype(np.float64), 1000 * self.hop_length / self.sampling_rate  # ms
        f0, times = self._estimate(samples, self.sampling_rate, self.f0_min, self.f0_max, frame_period=period)
        return pyworld.stonemask(samples, f0, times, self.sampling_rate)
