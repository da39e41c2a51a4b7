"""The interface of all F0 predictors, and the checks that they share."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from modules.common.errors import AudioError, ConfigError
from modules.dsp.blocks import spans
from modules.dsp.f0 import F0_MAX, F0_MIN, drop_brief_extremes, fill_unvoiced, repair_octaves
from modules.f0_predictor.high_notes import add_high_notes

if TYPE_CHECKING:
    import torch

_MARGIN = 2.0  # s of sound on either side of a window, which a track hardly depends on


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

    window_seconds = 30.0  # s of a recording that are tracked at a time
    window_follows_floor = False  # whether it hears a lower f0_min by a longer window

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
        self.sampling_rate = sampling_rate
        self.hop_length = hop_length
        self.threshold = threshold
        self.device = device
        self.dtype = dtype
        self._set_range(f0_min, f0_max)

    def _set_range(self, f0_min: float, f0_max: float) -> None:
        rate, hop = self.sampling_rate, self.hop_length
        if hop < 1 or not 0 < f0_min < f0_max < rate / 2:
            raise ConfigError(
                f"cannot track F0 from {f0_min} to {f0_max} Hz at {rate} Hz with hop {hop}: "
                "expected 0 < f0_min < f0_max < half the sampling rate, and a hop of at least 1"
            )
        self.f0_min, self.f0_max = f0_min, f0_max

    def within(self, f0_min: float, f0_max: float) -> F0Predictor:
        """This predictor for another range of pitch, Hz; a network is shared. Raises ConfigError."""
        other = copy.copy(self)
        other._set_range(f0_min, f0_max)
        return other

    def predict(self, audio: np.ndarray, n_frames: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Track F0, repair brief octave errors and fill its gaps.

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
        frame_rate = self.sampling_rate / self.hop_length
        track = repair_octaves(self._tracked(audio - audio.mean(), n_frames), frame_rate)
        if self.f0_min < F0_MIN:
            track = drop_brief_extremes(track, frame_rate)
        return fill_unvoiced(track)

    def _tracked(self, audio: np.ndarray, n_frames: int) -> np.ndarray:
        """:meth:`_in_windows`; a range beyond the usual one adds notes, and changes no others."""
        usual = self.within(self.f0_min, F0_MAX) if self.f0_max > F0_MAX > self.f0_min else self
        track = usual._in_windows(audio, n_frames)
        if self.window_follows_floor and self.f0_min < F0_MIN:  # a longer window blurs other notes
            higher = usual.within(F0_MIN, usual.f0_max)._in_windows(audio, n_frames)
            track = np.where(higher > 0, higher, np.where(track < F0_MIN, track, 0))
        if usual is self:
            return track
        return add_high_notes(track, audio, self.sampling_rate, self.hop_length, self._in_windows)

    def _in_windows(self, audio: np.ndarray, n_frames: int) -> np.ndarray:
        """:meth:`_track`, in windows if the recording is long."""
        per_second = self.sampling_rate / self.hop_length
        step, margin = min(self.window_seconds * per_second, float(n_frames)), math.ceil(_MARGIN * per_second)
        tracks = []
        for read, keep in spans(n_frames, math.ceil(step), margin):
            whole = read.stop - read.start == n_frames
            piece = audio if whole else audio[read.start * self.hop_length : read.stop * self.hop_length]
            silent = len(piece) == 0 or np.ptp(piece) == 0
            track = np.zeros(read.stop - read.start) if silent else self._track(piece, read.stop - read.start)
            tracks.append(track[keep])
        return tracks[0] if len(tracks) == 1 else np.concatenate(tracks)

    @abstractmethod
    def _track(self, audio: np.ndarray, n_frames: int) -> np.ndarray:
        """F0 (n_frames,), Hz, 0 or NaN where unvoiced; ``audio`` has mean 0 and is not constant."""
