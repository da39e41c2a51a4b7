"""The order in which the flow keeps its channels: by quarters (4, B, N, K)."""

from __future__ import annotations

from torch import Tensor

GROUPS = 4  # of the channel mixing, as published


def to_quarters(x: Tensor, n_sqz: int) -> Tensor:
    """Stack ``n_sqz`` neighbouring frames of ``x`` (B, M, N), and sort the channels by quarter (4, B, N', K).

    The C = ``n_sqz`` * M channels are the frames' bins, one frame after the other. The K'th
    group of four that is mixed holds channels 2K and 2K + 1 of the first half, which are in
    quarters 0 and 1, and the same two of the second half. So every step of the flow reads and
    writes whole stretches of memory.
    """
    batch, channels, frames = x.shape
    stacked = x.mT.reshape(batch, frames // n_sqz, 2, n_sqz * channels // GROUPS, 2)
    return stacked.permute(2, 4, 0, 1, 3).reshape(GROUPS, batch, frames // n_sqz, -1)


def from_quarters(x: Tensor, n_sqz: int) -> Tensor:
    """Undo :func:`to_quarters`."""
    _, batch, n_groups, size = x.shape
    stacked = x.view(2, 2, batch, n_groups, size).permute(2, 3, 0, 4, 1)
    return stacked.reshape(batch, n_groups, n_sqz, GROUPS * size // n_sqz).flatten(1, 2).mT


def sort_channels(channels: Tensor, halves: int, dim: int = 0) -> Tensor:
    """Sort the channels, ``halves`` halves of them, along the axis ``dim`` as :func:`to_quarters` does."""
    return channels.unflatten(dim, (halves, -1, 2)).transpose(dim + 1, dim + 2).flatten(dim, dim + 2)
