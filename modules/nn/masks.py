"""Masks of the real frames of a padded batch, and padding to whole groups of frames.

The flow works on groups of ``n_sqz`` frames. The published project rounds
lengths down, which loses the last frame of odd recordings and all of very
short ones; here they are rounded up, and the last frame is repeated.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor

Count = TypeVar("Count", int, Tensor)


def round_up(count: Count, multiple: int) -> Count:
    """Smallest multiple of ``multiple`` that is not below ``count``."""
    return -(-count // multiple) * multiple


def length_mask(lengths: Tensor, n_frames: int) -> Tensor:
    """Float mask (B, 1, N) that is 1 on the first ``lengths`` (B,) frames."""
    return (torch.arange(n_frames, device=lengths.device) < lengths[:, None]).unsqueeze(1).float()


def replicate_pad(x: Tensor, lengths: Tensor, n_frames: int) -> Tensor:
    """Extend items (B, C, N) of ``lengths`` (B,) to (B, C, n_frames), repeating the last real frame."""
    last = (lengths - 1).clamp(min=0)[:, None]
    index = torch.arange(n_frames, device=x.device).minimum(last)
    return x.gather(2, index[:, None].expand(-1, x.size(1), -1))
