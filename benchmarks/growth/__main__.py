"""Cost as the work grows: songs, clips, speakers and the retrieval index.

    python -m benchmarks.growth [--full] [--only song clips]

Every size is measured in processes of its own. The exponent is the slope of the line
through a row, both axes logarithmic: 0 does not grow, 1 is linear. What every start
costs flattens it, so the last step has a column of its own. Draws docs/pictures/growth.png.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.growth import data_set, index, song
from benchmarks.growth.curves import Growth, draw
from benchmarks.workspace import ROOT
from modules.common.cli import make_parser

PICTURE = ROOT / "docs" / "pictures" / "growth.png"
MEASURES = {
    "song": (song.measure, (1, 4, 16), (60, 180)),  # sizes, and those that --full adds
    "clips": (data_set.measure_clips, (100, 1000, 10_000), (100_000,)),
    "speakers": (data_set.measure_speakers, (1, 10, 100, 1000), ()),
    "index": (index.measure, (10_000, 30_000, 100_000), (300_000,)),
}


def main(argv: Sequence[str] = ()) -> None:
    """Measure, print a table for each, and draw the picture."""
    parser = make_parser(__doc__)
    parser.add_argument("--full", action="store_true", help="up to 3 h of song and 100,000 clips")
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=MEASURES, help="some of them (all)")
    parser.add_argument("--picture", type=Path, default=PICTURE, help="where to draw it (%(default)s)")
    args = parser.parse_args(argv)
    growths: list[Growth] = []
    for name in args.only:
        measure, sizes, more = MEASURES[name]
        growths.append(measure((*sizes, *more) if args.full else sizes))
        growths[-1].print_table()
        print(flush=True)
    draw(growths, args.picture)


if __name__ == "__main__":
    main(sys.argv[1:])
