"""Live conversion: latency, load and closeness to the offline result, by setting.

    python -m benchmarks.realtime -m logs/44k/G_best.pth --song song.wav [-t 7] [--only settings]
    python -m benchmarks.realtime -m ... --song ... --target recordings/ --text "the words"

"settings" compares a stream with the conversion of the whole file; similarity and words need
requirements-quality.txt and --target or --text. "hour" is one by
virtual sound cards, "real" ten minutes in real time. "joins" holds a tone and slides over notes:
how much the level changes where blocks join, in dB. "trackers" are the F0 predictors at a
window's right edge, on singers of known pitch. "published" is the chain of published sizes
with random weights.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.realtime import endurance, joins, published, settings, trackers
from inference.options import ConvertOptions
from inference.realtime.runner import one_thread
from modules.common.cli import make_parser
from modules.common.errors import ConfigError
from modules.f0_predictor import LIVE_PREDICTOR

PARTS = ("settings", "hour", "real", "joins", "trackers", "published")
MINUTES = {"hour": 60.0, "real": 10.0}


def main(argv: Sequence[str]) -> None:
    """Print the tables."""
    parser = make_parser(__doc__)
    parser.add_argument("-m", "--model_path", default="", help="a voice model")
    parser.add_argument("--song", type=Path, help="a dry song")
    parser.add_argument("-t", "--trans", type=float, default=0.0, help="key change in semitones")
    parser.add_argument("--target", type=Path, help="folder with recordings of the voice")
    parser.add_argument("--text", default="", help="the English words of the song")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="some of them (all)")
    parser.add_argument("--minutes", type=float, help='of "hour" (60) or "real" (10)')
    args = parser.parse_args(argv)
    if {"settings", "joins", *MINUTES} & set(args.only) and not (args.model_path and args.song):
        raise ConfigError("settings, hour, real and joins need -m and --song")
    options = ConvertOptions(
        model_path=args.model_path, f0_predictor=LIVE_PREDICTOR, device="cpu", wav_format="wav"
    )
    for part in args.only:
        if part == "published":
            published.measure()
        else:
            with one_thread():  # as in a live conversion
                _measure(part, options, args)
        print(flush=True)


def _measure(part: str, options: ConvertOptions, args: argparse.Namespace) -> None:
    if part == "settings":
        settings.measure(options, args.song, args.trans, args.target, args.text)
    elif part in MINUTES:
        minutes = dict.fromkeys(MINUTES, 0.0) | {part: args.minutes or MINUTES[part]}
        endurance.measure(options, args.song, args.trans, **minutes)
    elif part == "joins":
        joins.measure(options)
    else:
        trackers.measure()


if __name__ == "__main__":
    main(sys.argv[1:])
