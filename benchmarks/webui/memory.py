"""Does the page give the memory of its models back? Load and unload a voice again and again, and look.

Prints the resident memory after 3 warm-ups and after 20 loads and unloads more:

    python -m benchmarks.webui.memory
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from modules.common.cli import entry_point

WARM_UPS, ROUNDS = 3, 20


def get_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="loads and unloads (%(default)s)")
    return parser


@entry_point
def main(argv: list[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    args = get_parser().parse_args(argv)
    import psutil
    import torch

    from inference.options import ConvertOptions
    from models import GlowSVC
    from modules.checkpoint import write_checkpoint
    from modules.common.files import write_json
    from modules.common.progress import progress_bar
    from modules.config import parse_config
    from webui.session import Session

    process, session = psutil.Process(), Session()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # of the published size, with the parts that need no download
        values = {
            "model": {"n_speakers": 2, "ssl_dim": 12, "speech_encoder": "mfcc", "vocoder_name": "world"},
            "spk": {"anna": 0, "bob": 1},
        }
        state = GlowSVC(parse_config(values).model).state_dict()
        size = sum(value.numel() * value.element_size() for value in state.values()) / 2**20
        write_checkpoint(folder / "G_1.pth", {"model": state, "iteration": 1})
        write_json(folder / "config.json", values)
        del state
        options = ConvertOptions(
            model_path=str(folder / "G_1.pth"), config_path=str(folder / "config.json"), device="cpu"
        )
        after = []
        for _ in progress_bar(range(WARM_UPS + args.rounds), unit="load"):
            session.load(options).result()
            loaded = process.memory_info().rss / 2**20
            session.unload()
            after.append(process.memory_info().rss / 2**20)
    first, last = after[WARM_UPS - 1], after[-1]
    print(f"model: {size:.0f} MB; torch {torch.__version__}; resident with it {loaded:.0f} MB")
    print(f"after {WARM_UPS} loads and unloads: {first:.1f} MB; after {args.rounds} more: {last:.1f} MB")
    print(f"drift: {last - first:+.1f} MB; highest {max(after[WARM_UPS:]) - first:+.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
