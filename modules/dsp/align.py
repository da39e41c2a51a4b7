"""Speech units aligned to the mel's frames: encoders give about 50 a second, mels have 86."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from modules.common.errors import AudioError, ConfigError
from modules.config import UNIT_MODES

if TYPE_CHECKING:
    import torch

Units = TypeVar("Units", "np.ndarray", "torch.Tensor")


def align_units(units: Units, n_frames: int, mode: str, start: int = 0, stop: int | None = None) -> Units:
    """Repeat or skip units so that there is one for each frame.

    Both modes are published names of one rule: frame i of N = ``n_frames`` takes unit
    floor(i * U / N) of ``units`` (..., U). (The published "left" cuts the end off instead
    when there are more units than frames.) The result (..., stop - start) has the frames
    from ``start`` on, up to ``stop`` or N.

    Raises:
        ConfigError: Unknown mode.
        AudioError: There are frames to fill and no units.
    """
    if mode not in UNIT_MODES:
        raise ConfigError(f"unknown unit_interpolate_mode {mode!r}; choose one of: {', '.join(UNIT_MODES)}")
    n_units = units.shape[-1]
    if n_units == 0 and n_frames > 0:
        raise AudioError(f"no speech units for {n_frames} frames: the clip is too short for the encoder")
    # whole numbers: rounded ratios pick the wrong unit on long songs
    source = np.arange(start, n_frames if stop is None else stop) * n_units // max(n_frames, 1)
    if isinstance(units, np.ndarray):
        return units[..., source]
    import torch

    return units.index_select(-1, torch.from_numpy(source).to(units.device))  # nine times as fast
