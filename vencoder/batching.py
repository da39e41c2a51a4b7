"""Windows and batches for encoders with attention.

The cost of attention grows with the square of the length, so long recordings
are cut into overlapping windows. Short ones are computed together, sorted by
length so that there is little padding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_MAX_PADDING = 0.2  # of the longest in a batch


@dataclass(frozen=True)
class UnitWindow:
    """Part of a recording, in units: [start, stop) is computed, [first, last) of it kept."""

    start: int
    stop: int
    first: int
    last: int


def windows(n_units: int, longest: int, margin: int) -> list[UnitWindow]:
    """Cut ``n_units`` into windows of at most ``longest`` units, about equally long.

    The kept parts adjoin; at a cut, each window also computes ``margin`` units of its neighbour's.
    """
    if n_units <= longest:
        return [UnitWindow(0, n_units, 0, n_units)]
    count = math.ceil(n_units / (longest - 2 * margin))
    cuts = [n_units * index // count for index in range(count + 1)]
    return [
        UnitWindow(max(0, first - margin), min(n_units, last + margin), first, last)
        for first, last in zip(cuts, cuts[1:], strict=False)
    ]


def batches(lengths: Sequence[int], limit: int) -> Iterator[list[int]]:
    """Yield the indices of ``lengths`` in groups, longest first.

    A group, padded to its longest, has at most ``limit`` (unless it is a single
    recording), and no member is more than a fifth shorter than the longest.
    """
    group: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if group:
            longest = lengths[group[0]]
            if longest * (len(group) + 1) > limit or lengths[index] < (1 - _MAX_PADDING) * longest:
                yield group
                group = []
        group.append(index)
    if group:
        yield group
