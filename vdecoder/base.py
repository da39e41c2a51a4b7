"""The interface of all vocoders, and the checks that they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from modules.common.errors import FeatureError
from vdecoder.clock import SONG_START, SourceStart

if TYPE_CHECKING:
    from modules.config import DataConfig


class Vocoder(ABC):
    """Synthesizes audio from a log-mel and F0; equal inputs give equal audio.

    Args:
        data_config: The analysis settings of the mel.
        device: Where the audio is returned, and computed if the vocoder supports it.
        weights: The model file; None: the published one under pretrain/.
        dtype: Precision of the convolutions, where there are any. The audio is
            always float32.
    """

    def __init__(
        self,
        data_config: DataConfig,
        device: torch.device | str = "cpu",
        weights: Path | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.device, self.dtype = torch.device(device), dtype
        self.sampling_rate = data_config.sampling_rate
        self.hop_length = data_config.hop_length
        self.n_mels = data_config.n_mels

    @torch.no_grad()
    def synthesize(self, mel: Tensor, f0: Tensor, uv: Tensor, start: SourceStart = SONG_START) -> Tensor:
        """Audio (N * hop_length,), float32, on the vocoder's device.

        Args:
            mel: (M, N), natural log.
            f0: (N,), Hz; 0 is unvoiced, even where ``uv`` is 1.
            uv: (N,), 1 = voiced.
            start: Where in its song it begins, so that slices of one song fit together.

        Raises:
            FeatureError: The shapes do not match, or there is NaN or infinity.
        """
        if mel.ndim != 2 or mel.shape[0] != self.n_mels or not mel.shape[1]:
            raise FeatureError(f"the vocoder needs a mel of ({self.n_mels}, N), not {tuple(mel.shape)}")
        if f0.shape != mel.shape[1:] or uv.shape != mel.shape[1:]:
            raise FeatureError(
                f"mel, f0 and uv must have the same number of frames, not {mel.shape[1]}, {tuple(f0.shape)} "
                f"and {tuple(uv.shape)}"
            )
        for name, track in (("mel", mel), ("f0", f0), ("uv", uv)):
            if not torch.isfinite(track).all():
                raise FeatureError(
                    f"the {name} given to the vocoder holds NaN or infinity. If it comes from a model, "
                    "its training has diverged: go back to an earlier checkpoint."
                )
        return self._synthesize(mel, f0, uv, start)

    @abstractmethod
    def _synthesize(self, mel: Tensor, f0: Tensor, uv: Tensor, start: SourceStart) -> Tensor:
        """Audio of checked inputs."""

    @abstractmethod
    def cycles(self, f0: Tensor, uv: Tensor) -> np.ndarray:
        """Cycles (N + 1,), float64, of the fundamental up to each frame of F0 (N,), and to the end."""
