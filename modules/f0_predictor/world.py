"""WORLD's two pitch trackers (Morise): dio, the default of preprocessing, and harvest.

harvest misses less in breathy and low voices and takes many times longer.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import pyworld

from modules.f0_predictor.base import F0Predictor


class _WorldPredictor(F0Predictor):
    """Runs a tracker, refines it with stonemask; ``threshold`` is not used."""

    def _track(self, audio: np.ndarray, n_frames: int) -> np.ndarray:
        track = np.zeros(n_frames)
        # WORLD's frame i is at i * frame_period, which is this project's clock: cutting is all it takes
        raw = self._raw(audio.astype(np.float64))[:n_frames]
        track[: len(raw)] = raw
        return track

    def _raw(self, audio: np.ndarray) -> np.ndarray:
        """Return WORLD's own frames: (T // hop_length + 1,) Hz, 0 where unvoiced."""
        f0, times = self._estimate(audio, 1000 * self.hop_length / self.sampling_rate)
        return pyworld.stonemask(audio, f0, times, self.sampling_rate)

    @abstractmethod
    def _estimate(self, audio: np.ndarray, period: float) -> tuple[np.ndarray, np.ndarray]:
        """Return F0 (Hz) and frame times (s); ``period`` is the frame step in ms."""


class DioPredictor(_WorldPredictor):
    """DIO."""

    def _estimate(self, audio: np.ndarray, period: float) -> tuple[np.ndarray, np.ndarray]:
        return pyworld.dio(audio, self.sampling_rate, self.f0_min, self.f0_max, frame_period=period)


class HarvestPredictor(_WorldPredictor):
    """Harvest."""

    def _estimate(self, audio: np.ndarray, period: float) -> tuple[np.ndarray, np.ndarray]:
        return pyworld.harvest(audio, self.sampling_rate, self.f0_min, self.f0_max, frame_period=period)
