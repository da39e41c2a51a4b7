"""Run the benchmarks and print their tables as Markdown: `python -m benchmarks [name ...]`."""

from __future__ import annotations

import importlib
import platform

from modules.common.cli import make_parser

BENCHMARKS = {  # module in benchmarks/, by name
    "machine": "machine",
    "contention": "training.contention",
    "preprocessing": "preprocessing",
    "training": "training.step",
    "diffusion_training": "training.diffusion_step",
    "padding": "training.padding",
    "scaling": "training.scaling",
    "conversion": "conversion",
    "vocoding": "vocoding",
    "precision": "quality.precision",
    "encoders": "encoders",
    "memory": "growth.memory",
    "start": "start",
    "loading": "loading",
    "retrieval": "retrieval",
    "growth": "growth.__main__",
    "onnx_chain": "onnx_chain",
}


def main() -> None:
    """Run the named benchmarks, or all."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="name", help=f"any of: {', '.join(BENCHMARKS)}; default: all"
    )
    names = parser.parse_args().names or BENCHMARKS
    unknown = set(names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    # not at the top: processes of benchmarks import this file, and some must not load it
    import torch

    from benchmarks.machine import processor

    print(
        f"{processor()}; Python {platform.python_version()}, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads\n"
    )
    for name in names:
        print(f"## {name}\n", flush=True)
        importlib.import_module(f"benchmarks.{BENCHMARKS[name]}").main()
        print()


if __name__ == "__main__":
    main()
