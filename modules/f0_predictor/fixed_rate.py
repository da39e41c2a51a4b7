"""Base of predictors whose network has a fixed rate and hop.

Their track is interpolated to the project's own frames.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from modules.dsp.audio import resample
from modules.dsp.f0 import interpolate
from modules.f0_predictor.base import F0Predictor

RATE = 16000  # Hz
_QUIET = 0.3  # minimal peak; quieter recordings are scaled to it, away from the floor of a log spectrum


class FixedRatePredictor(F0Predictor):
    """Tracks sound at 16 kHz, every ``hop`` samples."""

    hop: int  # of the network

    def _track(self, audio: np.ndarray, n_frames: int) -> np.ndarray:
        sound = resample(audio, self.sampling_rate, RATE)
        if len(sound) == 0:
            return np.zeros(n_frames)
        peak = float(np.abs(sound).max())
        if 0 < peak < _QUIET:
            sound = sound * np.float32(_QUIET / peak)
        positions = np.arange(n_frames) * (self.hop_length * RATE / (self.sampling_rate * self.hop))
        track = interpolate(self.pitch(sound), positions)
        return np.where(positions * self.hop < len(sound), track, 0.0)

    @abstractmethod
    def pitch(self, sound: np.ndarray) -> np.ndarray:
        """Pitch in Hz every ``hop`` samples, 0 where unvoiced, of ``sound`` (T,) at 16 kHz, T > 0."""
