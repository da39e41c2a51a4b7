"""The interface of all F0 predictors, and the checks that they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from modules.common.errors import AudioError, ConfigError
from modules.dsp.f0 import fill_unvoiced

if TYPE_CHECKING:
    import torch


class F0Predictor(ABC):
    """Tracks the pitch of one recording; frame i is at ``i * hop_length / sampling_rate`` s.

    Args:
        sampling_rate: Of the audio, Hz.
        hop_length: Samples per frame.
        f0_min: Lowest pitch, Hz.
        f0_max: Highest pitch, Hz.
        threshold: Voicing threshold, for predictors that estimate a confidence.
        device: Where neural predictors run.
        dtype: Of the matrix products of neural predictors; None: float32.

    Raises:
        ConfigError: The pitch range, sampling rate or hop is invalid.
    """

    def __init__(
        self,
        sampling_rate: int = 44100,
        hop_length: int = 512,
        f0_min: float = 50.0,
        f0_max: float = 1100.0,
        threshold: float = 0.05,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
    ) -> None:
        if hop_length < 1 or not 0 < f0_min < f0_max < sampling_rate / 2:
            raise ConfigError(
                f"cannot track F0 from {f0_min} to {f0_max} Hz at {sampling_rate} Hz with hop {hop_length}: "
                "expected 0 < f0_min < f0_max < half the sampling rate, and a hop of at least 1"
            )
        self.sampling_rate = sampling_rate
        self.hop_length = hop_length
        self.f0_min = f0_min
        self.f0_max = f0_max
        self.threshold = threshold
        self.device = device
        self.dtype = dtype

    def predict(self, audio: np.ndarray, n_frames: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Track F0 and fill its gaps.

        Args:
            audio: (T,), any float type.
            n_frames: N, number of frames; None: ``T // hop_length``.
                Frames past the end of the audio are unvoiced.

        Returns:
            Two separate float32 arrays (N,): F0 in Hz, see
            :func:`modules.dsp.f0.fill_unvoiced`, and uv, 1 where voiced.

        Raises:
            AudioError: ``audio`` is not one channel, or holds NaN or Inf.
        """
        audio = np.ascontiguousarray(audio, np.float32)
        if audio.ndim != 1:
            raise AudioError(f"F0 needs one channel, shape (T,), not {audio.shape}")
        if not np.isfinite(audio).all():
            raise AudioError("the audio holds NaN or Inf; repair or re-export the recording")
        n_frames = len(audio) // self.hop_length if n_frames is None else n_frames
        if n_frames == 0 or len(audio) == 0 or np.ptp(audio) == 0:
            return fill_unvoiced(np.zeros(n_frames))
        return fill_unvoiced(self._track(audio - audio.mean(), n_frames))

    @abstractmethod
    def _track(self, audio: np.ndarray, n_frames: int) -> np.ndarray:
        """F0 (n_frames,), Hz, 0 or NaN where unvoiced; ``audio`` has mean 0 and is not constant."""
