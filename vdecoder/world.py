"""The vocoder without training, with the interface of the others; see world_synthesis.py."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from modules.common.errors import ConfigError
from vdecoder.base import Vocoder
from vdecoder.clock import SourceStart
from vdecoder.world_synthesis import SHARPER, WorldSynthesis

if TYPE_CHECKING:
    from modules.config import DataConfig


class WorldVocoder(Vocoder):
    """Pulse-and-noise synthesis from mel and F0; deterministic, without weights.

    Computed on the CPU, in float32 and float64, in about a fiftieth of the audio's duration.
    ``sharper`` is the share by which formants grow.

    Raises:
        ConfigError: The window is not as long as the FFT, or weights are given.
    """

    def __init__(
        self,
        data_config: DataConfig,
        device: torch.device | str = "cpu",
        weights: Path | None = None,
        dtype: torch.dtype = torch.float32,
        sharper: float = SHARPER,
    ) -> None:
        super().__init__(data_config, device, weights, dtype)
        if weights is not None:
            raise ConfigError(f"the vocoder 'world' has no weights; {weights} belongs to another vocoder")
        self._synthesis = WorldSynthesis(data_config, sharper)

    def cycles(self, f0: Tensor, uv: Tensor) -> np.ndarray:
        """Cycles (N + 1,) of the pulses, whose phase goes on where they are muted."""
        return self._synthesis.cycles(_array(f0), _array(uv))

    def _synthesize(self, mel: Tensor, f0: Tensor, uv: Tensor, start: SourceStart) -> Tensor:
        """Audio; loud mels give peaks beyond ±1."""
        audio = self._synthesis(_array(mel), _array(f0), _array(uv), start)
        return torch.from_numpy(audio).to(self.device)


def _array(track: Tensor) -> np.ndarray:
    array: np.ndarray = track.detach().float().cpu().numpy()
    return array
