"""A retrieval index against the number of its vectors; docs/retrieval.md has more about it."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.growth.curves import Growth
from benchmarks.measure import isolated, temporary_folder
from benchmarks.retrieval import DIMS, build, link_clips, search, write_units

_PARTS = {"build": "build", "load": "load", "search": "search, per minute of song"}


def measure(sizes: Sequence[int]) -> Growth:
    """Build an index of each size and search it; processor times."""
    growth = Growth("vectors", sizes)
    with temporary_folder() as folder:
        everything = folder / "all" / "singer"
        isolated(write_units, everything, max(sizes), DIMS)
        for size in sizes:
            root, path = folder / str(size), folder / "index.pkl"
            link_clips(everything, root / "singer", size)
            found = isolated(build, root, path, 0) | isolated(search, path, DIMS)
            growth.add({(label, "s"): found[key] for key, label in _PARTS.items()})
            growth.add({(what, "MB"): found[f"{what}_memory"] / 2**20 for what in ("build", "search")})
    return growth
