"""Speech units aligned to the mel's frames: encoders give about 50 a second, mels have 86."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from modules.common.errors import AudioError
from modules.config.shared import FeatureSection
from modules.dsp.unit_clock import UnitClock

if TYPE_CHECKING:
    import torch

Units = TypeVar("Units", "np.ndarray", "torch.Tensor")


def nearest_units(frames: np.ndarray, data: FeatureSection, clock: UnitClock) -> np.ndarray:
    """Numbers (N,) of the units whose middle is nearest to that of the mel's ``frames`` (N,)."""
    # whole numbers: samples of the units, times twice the mel's rate
    middle = (2 * frames + 1) * (data.hop_length * clock.sampling_rate)
    first = (2 * clock.centre - clock.hop_length) * data.sampling_rate  # where unit 0 takes over
    numbers: np.ndarray = (middle - first) // (2 * clock.hop_length * data.sampling_rate)
    return numbers


def align_units(
    units: Units,
    n_frames: int,
    data: FeatureSection,
    clock: UnitClock,
    start: int = 0,
    stop: int | None = None,
) -> Units:
    """Repeat or skip units so that there is one for each frame.

    Frame i of N = ``n_frames`` takes of ``units`` (..., U), which begin at the same sample,
    as ``data.unit_interpolate_mode`` says:

    - "time": the unit whose centre is nearest to the frame's, (i + 0.5) hops, by ``clock``; at
      most half a unit's hop away within the units;
    - "left" and "nearest", published names of one rule: unit floor(i * U / N). (The published "left" cuts
      the end off instead when there are more units than frames.) Whatever the encoder's
      clock, the ends meet, so units lag by up to 30 ms.

    The result (..., stop - start) has the frames from ``start`` on, up to ``stop`` or N.

    Raises:
        AudioError: There are frames to fill and no units.
    """
    n_units = units.shape[-1]
    if n_units == 0 and n_frames > 0:
        raise AudioError(f"no speech units for {n_frames} frames: the clip is too short for the encoder")
    frames = np.arange(start, n_frames if stop is None else stop)
    if data.unit_interpolate_mode == "time":
        source = nearest_units(frames, data, clock).clip(0, max(n_units - 1, 0))
    else:
        # whole numbers: rounded ratios pick the wrong unit on long songs
        source = frames * n_units // max(n_frames, 1)
    if isinstance(units, np.ndarray):
        return units[..., source]
    import torch

    return units.index_select(-1, torch.from_numpy(source).to(units.device))  # nine times as fast
