"""Step 5: write the weights that training keeps, in half precision, to pretrain/starter."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from modules.common.cli import entry_point, make_parser


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Write; return the exit code."""
    parser = make_parser(__doc__, prog="python -m tools.starter.encoder.write")
    parser.add_argument("work", type=Path, help="folder for all results")
    parser.add_argument("--output", type=Path, required=True, help="file")
    args = parser.parse_args(argv)
    write(args.work, args.output)
    print(f"{args.output}: {args.output.stat().st_size / 1e6:.1f} MB")
    return 0


def write(work: Path, output: Path) -> None:
    """Write the network's averaged weights, from the run in ``work``."""
    import torch

    from modules.checkpoint import read_weights
    from modules.common.files import replacing
    from tools.starter.encoder.losses import NAME
    from tools.starter.encoder.state import kept_path
    from tools.starter.encoder.tracks import write_tensors
    from vencoder.ppg import DESIGNS, load_network

    state = {
        name.removeprefix("network."): tensor.half().contiguous()
        for name, tensor in read_weights(kept_path(work)).items()
        if name.startswith("network.")
    }
    state["version"] = torch.tensor(DESIGNS[NAME].version)
    with replacing(output) as path:
        write_tensors(path, state)
        load_network(path, NAME)  # an unreadable file replaces none


if __name__ == "__main__":
    sys.exit(main())
