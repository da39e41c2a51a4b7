"""Step 7: write the weights that training keeps, in half precision, to pretrain/starter."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from modules.common.cli import entry_point, make_parser


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Write; return the exit code."""
    parser = make_parser(__doc__, prog="python -m tools.starter.write")
    parser.add_argument("work", type=Path, help="folder for all results")
    parser.add_argument("--output", type=Path, help="file (default: the one that ppg-starter reads)")
    args = parser.parse_args(argv)
    import torch
    from safetensors.torch import save_file

    from modules.checkpoint import read_weights
    from modules.common.files import replacing
    from vencoder.ppg import VERSION, WEIGHTS, load_network

    state = {
        name.removeprefix("network."): tensor.half().contiguous()
        for name, tensor in read_weights(args.work / "encoder.safetensors").items()
        if name.startswith("network.")
    }
    state["version"] = torch.tensor(VERSION)
    output = args.output or WEIGHTS
    with replacing(output) as path:
        save_file(state, path)
        load_network(path)  # an unreadable file replaces none
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
