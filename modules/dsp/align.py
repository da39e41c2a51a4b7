"""Speech units on the mel clock: encoders give about 50 frames a second, mels 86."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from modules.common.errors import AudioError, ConfigError
from modules.config import UNIT_MODES

if TYPE_CHECKING:
    import torch

Units = TypeVar("Units", "np.ndarray", "torch.Tensor")


def align_units(units: Units, n_frames: int, mode: str, start: int = 0, stop: int | None = None) -> Units:
    """Return ``units`` with ``n_frames`` frames, spread evenly over the same time.

    Both modes are published names of one rule: frame i takes unit
    floor(i * U / N). (The published "left" cuts the end off instead when there
    are more units than frames.)

    Args:
        units: (..., U).
        n_frames: N, frames to return.
        mode: One of :data:`modules.config.UNIT_MODES`.
        start: First frame that is wanted.
        stop: The frame after the last that is wanted; None is N.

    Returns:
        (..., stop - start).

    Raises:
        ConfigError: There is no such mode.
        AudioError: There are frames to fill and no units.
    """
    if mode not in UNIT_MODES:
        raise ConfigError(f"unknown unit_interpolate_mode {mode!r}; choose one of: {', '.join(UNIT_MODES)}")
    n_units = units.shape[-1]
    if n_units == 0 and n_frames > 0:
        raise AudioError(f"no speech units for {n_frames} frames: the clip is too short for the encoder")
    # whole numbers: rounded ratios pick the wrong unit on long songs
    source = np.arange(start, n_frames if stop is None else stop) * n_units // max(n_frames, 1)
    return units[..., source]
