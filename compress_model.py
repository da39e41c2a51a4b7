"""Compress a trained model: without optimizer and progress it is a third of its size, to keep or share.

It converts, and can be the base model of another training; only its own training
cannot continue from it. Voice models and diffusion models are recognised by
their content.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from modules.common.cli import entry_point, make_parser

EPILOG = """\
examples:
  python compress_model.py -c logs/44k/config.json -i logs/44k/G_20000.pth -o anna.pth
  python compress_model.py -i logs/44k/G_20000.pth -o anna.safetensors       config.json beside it
  python compress_model.py -i logs/44k/diffusion/model_20000.pt -hf          half the size again

Half precision is only how the file is stored: it is converted to float32 when loaded, so it
runs on any CPU or GPU. The change of the mel of a synthetic song is printed.
Share config.json as well: a model is of no use without it.
"""


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = make_parser(__doc__, EPILOG)
    add = parser.add_argument
    add(
        "-c",
        "--config",
        metavar="FILE",
        help="its config.json, or config.yaml of a diffusion model, to check that it fits (default: the one "
        "beside the model, if there is one)",
    )
    add("-i", "--input", required=True, metavar="FILE", help="a checkpoint: G_*.pth or model_*.pt")
    add(
        "-o",
        "--output",
        metavar="FILE",
        help="file to write, .pth, .pt or .safetensors (default: <input>_release beside it)",
    )
    add("-hf", "--half", action="store_true", help="store half precision, which is half the size again")
    return parser


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Compress the model; return the exit code."""
    args = get_parser().parse_args(argv)
    source = Path(args.input)
    output = Path(args.output) if args.output else source.with_stem(f"{source.stem}_release")

    from modules.common.progress import stage

    with stage(f"compressing {source}"):
        from model_tools.compress import compress_model

        done = compress_model(source, output, args.config, args.half)
    print(
        f"{done.path}: {done.kind}, {_size(done.before)} before, {_size(done.after)} after "
        f"({done.after / done.before:.0%})"
    )
    if done.config_path:
        print(f"it fits {done.config_path}")
    else:
        print("no configuration beside it, so none was checked; name one with -c")
    if done.mel_change:
        mean, largest = (8.686 * change for change in done.mel_change)  # natural logarithms to dB
        print(
            f"half precision moves the mel by {mean:.3f} dB, at most {largest:.2f} dB "
            "(a synthetic song; about 1 dB is audible)"
        )
    return 0


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.1f} MB" if n_bytes >= 1e5 else f"{n_bytes / 1e3:.1f} kB"


if __name__ == "__main__":
    sys.exit(main())
