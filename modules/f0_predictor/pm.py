"""Praat's autocorrelation pitch tracker (Boersma 1993), by parselmouth: the default of conversion."""

from __future__ import annotations

import math

import numpy as np
import parselmouth

from modules.f0_predictor.base import F0Predictor


class PraatPredictor(F0Predictor):
    """``Sound: To Pitch (ac)`` with the published project's settings; ``threshold`` is not used."""

    window_follows_floor = True

    def _track(self, audio: np.ndarray, n_frames: int) -> np.ndarray:
        # Praat centres as many frames as fit in the sound. With half a window of silence at
        # either end these are n_frames, each centred at its sample i * hop_length.
        half = math.ceil(1.5 * self.sampling_rate / self.f0_min) + 1
        padded = np.zeros(2 * half + (n_frames - 1) * self.hop_length)
        audio = audio[: len(padded) - half]
        padded[half : half + len(audio)] = audio
        return self.raw(padded)

    def raw(self, audio: np.ndarray) -> np.ndarray:
        """Praat's own frames of ``audio`` (T,): (L,) Hz, 0 where unvoiced, centred in the sound."""
        pitch = parselmouth.Sound(audio, self.sampling_rate).to_pitch_ac(
            time_step=self.hop_length / self.sampling_rate,
            voicing_threshold=0.6,
            pitch_floor=self.f0_min,
            pitch_ceiling=self.f0_max,
        )
        return pitch.selected_array["frequency"]
