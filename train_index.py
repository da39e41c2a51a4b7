"""Make the retrieval index of each speaker's units, for inference_main.py -fr -cr.

Reads dataset/44k/<speaker>/*.wav.soft.pt, from preprocess_hubert_f0.py, and the
speakers of configs/config.json; writes logs/44k/feature_and_index.pkl.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from modules.common.cli import entry_point, make_parser
from modules.common.errors import ConfigError, FeatureError

EPILOG = """\
examples:
  python train_index.py
  python train_index.py --max_frames 0        a large data set: keep all, do not reduce it to centres
  python train_index.py --recall 0.99         search more thoroughly, and longer
  python train_index.py -c configs/config.json --root_dir dataset/44k --output_dir logs/44k

Then:  python inference_main.py -n song.wav -s speaker -fr -cr 0.5
The file keeps its published name, but is not a pickle: nothing in it can run. What it costs,
and when python cluster/train_cluster.py is the better choice: docs/retrieval.md
"""


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = make_parser(__doc__, EPILOG)
    add = parser.add_argument
    add("-c", "--config", default="configs/config.json", help="configuration, from step 2 (%(default)s)")
    add("--root_dir", default="dataset/44k", help="the data set, after step 3 (%(default)s)")
    add("--output_dir", default="logs/44k", help="folder of feature_and_index.pkl (%(default)s)")
    add(
        "--max_frames",
        type=int,
        default=200_000,
        metavar="N",
        help="speakers with more unit frames (50 a second) are reduced to 10 000 centres; "
        "0: none is (%(default)s)",
    )
    add(
        "--recall",
        type=float,
        default=0.95,
        metavar="SHARE",
        help="share of the exact 8 neighbours that a search finds (%(default)s)",
    )
    add("--gpu", action="store_true", help="compute those centres on the GPU")
    return parser


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Write the index; return the exit code."""
    args = get_parser().parse_args(argv)

    from cluster.index_builder import build_index
    from cluster.unit_reader import SpeakerUnits
    from modules.common.device import find_gpu
    from modules.config import load_config

    config = load_config(args.config)
    if not config.spk:
        raise ConfigError(f"{args.config} names no speakers (spk); preprocess_flist_config.py writes them")
    if not 0.0 < args.recall <= 1.0:
        raise ConfigError(f"--recall must be above 0 and at most 1, not {args.recall}")
    if args.max_frames < 0:
        raise ConfigError(f"--max_frames must be 0 or more, not {args.max_frames}")
    device = find_gpu() if args.gpu else None
    speakers = {}
    for name in config.spk:
        units = SpeakerUnits(Path(args.root_dir) / name)
        wanted = config.model.speech_encoder, config.model.ssl_dim
        if (units.encoder or wanted[0], units.ssl_dim) != wanted:
            raise FeatureError(
                f"the units of {name!r} are of {units.encoder or 'an unknown encoder'} with "
                f"{units.ssl_dim} channels, but {args.config} says {wanted[0]} with {wanted[1]}; "
                "run preprocess_hubert_f0.py again"
            )
        speakers[name] = units
    begin = time.monotonic()
    path = Path(args.output_dir) / "feature_and_index.pkl"
    built = build_index(
        path,
        speakers,
        config.spk,
        config.model.speech_encoder,
        max_frames=args.max_frames,
        recall=args.recall,
        device=device,
    )
    for name, done in built.items():
        kept = "all" if done.n_vectors == done.n_frames else f"reduced to {done.n_vectors}"
        how = (
            f"{done.n_lists} lists of which {done.nprobe} are searched, recall@8 {done.recall:.3f}"
            if done.n_lists
            else "all compared, which is exact"
        )
        print(f"{name}: {done.n_frames} frames, {kept}; {how}")
    print(f"wrote {path}, {path.stat().st_size / 1e6:.1f} MB, in {time.monotonic() - begin:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
