"""Find the centres of each speaker's units by k-means, for inference_main.py -cr.

Reads dataset/44k/<speaker>/*.wav.soft.pt, from preprocess_hubert_f0.py; writes
logs/44k/kmeans_10000.pt.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":  # run by its path, Python looks for modules beside it
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from modules.common.cli import entry_point, make_parser  # noqa: E402
from modules.common.errors import ConfigError  # noqa: E402

EPILOG = """\
examples:
  python cluster/train_cluster.py
  python cluster/train_cluster.py --gpu
  python cluster/train_cluster.py --dataset ./dataset/44k --output logs/44k --gpu

Then:  python inference_main.py -n song.wav -s speaker -cr 0.5
The other way to keep the source's timbre out is python train_index.py; docs/retrieval.md
tells which to use when.
"""


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = make_parser(__doc__, EPILOG)
    add = parser.add_argument
    add("--dataset", default="./dataset/44k", help="the data set, after step 3 (%(default)s)")
    add("--output", default="logs/44k", help="folder of kmeans_10000.pt (%(default)s)")
    add("--gpu", action="store_true", help="compute on the GPU")
    add(
        "--n_centres",
        type=int,
        default=10000,
        metavar="N",
        help="for each speaker; never more than there are frames (%(default)s)",
    )
    return parser


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Write the file; return the exit code."""
    args = get_parser().parse_args(argv)

    from cluster.kmeans import MOST_FRAMES, fit_centres
    from cluster.kmeans_file import write_centres
    from cluster.unit_reader import SpeakerUnits, check_same, sample, speaker_folders
    from modules.common.device import find_gpu

    if args.n_centres < 1:
        raise ConfigError(f"--n_centres must be above 0, not {args.n_centres}")
    device = find_gpu() if args.gpu else None
    speakers = [SpeakerUnits(folder) for folder in speaker_folders(Path(args.dataset))]
    check_same(speakers)
    centres = {}
    for units in speakers:
        begin = time.monotonic()
        frames = sample(units, MOST_FRAMES)
        centres[units.name] = fit_centres(frames, args.n_centres, device)
        some = f" (drawn from {units.n_frames})" if len(frames) < units.n_frames else ""
        print(
            f"{units.name}: {len(centres[units.name])} centres of {len(frames)} frames{some}, "
            f"{time.monotonic() - begin:.1f} s"
        )
    path = Path(args.output) / "kmeans_10000.pt"
    write_centres(path, centres, speakers[0].encoder)
    print(f"wrote {path}, {path.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
