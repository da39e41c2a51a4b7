"""Merge voices: several trained models become one, whose voice lies between theirs.

Made for models of one speaker each. With several, their numbers must agree, and
speakers of equal id are mixed. The models must have the same architecture: the same model
section in their config.json. For a mix that changes along a song see
inference_main.py -usm.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from modules.common.cli import entry_point, make_parser
from modules.common.errors import ConfigError
from modules.common.files import write_json

EPILOG = """\
examples:
  python mix_models.py -m logs/anna/G_20000.pth logs/bob/G_20000.pth -r 50 50
  python mix_models.py -m anna.pth bob.pth -r 80 20 --linear -c anna.json bob.json
  python mix_models.py -m a/G_1.pth b/G_1.pth c/G_1.pth -r 100 50 0 -o trained/abc/G_0.pth --copy_config

What the ratios, in percent, become: by default the softmax of ratio / 100, so 100 and 0 are
73 % and 27 %, and no voice is ever removed; with --linear ratio / 100 as it is, which
needs a sum of 100. Any of the config.json fits the result; a cluster model does not.
"""


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = make_parser(__doc__, EPILOG)
    add = parser.add_argument
    add("-m", "--models", nargs="+", required=True, metavar="FILE", help="two or more trained voice models")
    add(
        "-r",
        "--ratios",
        nargs="+",
        type=float,
        required=True,
        metavar="PERCENT",
        help="how much of each, 0 to 100",
    )
    add("--linear", action="store_true", help="take the ratios as they are, not their softmax")
    add(
        "-c",
        "--configs",
        nargs="+",
        metavar="FILE",
        help="the config.json of each model (default: those beside them)",
    )
    add(
        "-o",
        "--output",
        default="output.pth",
        metavar="FILE",
        help="file to write, .pth or .safetensors (output.pth)",
    )
    add(
        "--copy_config",
        action="store_true",
        help="copy the first model's config.json beside the result",
    )
    return parser


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Mix the models; return the exit code."""
    args = get_parser().parse_args(argv)

    from model_tools.merge import mix_models, mix_weights
    from modules.common.progress import progress_bar
    from modules.config import read_json

    mix_weights(len(args.models), args.ratios, not args.linear)  # refused before anything is loaded
    beside = Path(args.output).with_name("config.json")
    if args.copy_config and beside.exists():
        raise ConfigError(f"{beside} exists already; choose another folder with -o, or remove --copy_config")
    with progress_bar(total=len(args.models), desc="mixing", unit="model") as bar:
        mixed = mix_models(
            args.models,
            args.ratios,
            args.output,
            convex=not args.linear,
            configs=args.configs,
            progress=lambda done, _: bar.update(done - bar.n),
        )
    shares = ", ".join(
        f"{weight:.1%} {path}" for weight, path in zip(mixed.weights, args.models, strict=True)
    )
    print(f"{mixed.path}: {shares}")
    if args.copy_config:
        write_json(beside, read_json(mixed.config_path))
        print(f"its configuration: {beside}, a copy of {mixed.config_path}")
    else:
        print(f"its configuration: {mixed.config_path}, or that of any other of the models")
    if mixed.advice:
        print(f"mix_models.py: {mixed.advice}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
