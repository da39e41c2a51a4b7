"""Write speech encoders as ONNX files, for other programs and for the -onnx encoders here.

A file stands alone: it takes 16 kHz audio of any length, "source" [1, 1, samples],
and gives its units, "embed" [1, units, channels]. Each is compared with PyTorch
before it is put in its place.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from modules.cli import entry_point

EPILOG = """\
examples:
  python onnx_export.py --encoder vec768l12
  python onnx_export.py --encoder vec768l12 vec256l9 hubertsoft
  python onnx_export.py --encoder vec256l9 --weights D:/models/hubert_base.pt -o D:/onnx

The encoder's weights are needed, see: python -m pretrain --list
Where the files are by default, the encoders vec768l12-onnx, vec256l9-onnx and
hubertsoft-onnx find them: python preprocess_flist_config.py --speech_encoder vec768l12-onnx
"""


def get_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    from export import exportable

    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--encoder",
        nargs="+",
        required=True,
        metavar="NAME",
        help=f"one or several of: {', '.join(exportable())}",
    )
    add("-o", "--output", metavar="FOLDER", help="where to (default: where downloaded weights are)")
    add("--weights", metavar="FILE", help="the encoder's weights, if they are not where downloads are put")
    return parser


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Write the files that are not there yet; return the exit code."""
    args = get_parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")

    from export import file_name
    from modules.errors import ConfigError
    from modules.weights import folder, weights_path
    from vencoder import ENCODERS

    output = Path(args.output) if args.output else folder()
    results = {name: output / file_name(name) for name in args.encoder}
    if args.weights and len(results) > 1:
        raise ConfigError("--weights is the file of one encoder; name only that one after --encoder")
    missing = {name: path for name, path in results.items() if not path.exists()}
    for name in missing:  # before anything is spent on the first
        key = ENCODERS[name].weights
        if key and not args.weights:
            weights_path(key)
    for name, path in results.items():
        if name in missing:
            _export(name, path, args.weights)
        else:
            print(f"{name}: {path} is there already; delete it to have it written anew")
    return 0


def _export(name: str, path: Path, weights: str | None) -> None:
    """Write the encoder ``name`` to ``path``, and say so."""

    def say(step: str) -> None:
        print(f"{name}: {step}", flush=True)

    say("reading the weights")
    from export.encoder import TOLERANCE, export_encoder
    from vencoder import ENCODERS

    encoder = ENCODERS.build(name, "cpu", weights=weights and Path(weights))
    done = export_encoder(encoder, path, say)
    say(
        f"largest difference {done.difference:.1e} of the largest unit (allowed: {TOLERANCE:.0e}); "
        f"wrote {done.path}, {done.path.stat().st_size / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    sys.exit(main())
