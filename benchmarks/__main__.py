"""Run the benchmarks and print their tables as Markdown: `python -m benchmarks [name ...]`."""

from __future__ import annotations

import argparse
import importlib
import platform

import torch

NAMES = (
    "machine",
    "preprocessing",
    "training",
    "diffusion_training",
    "padding",
    "scaling",
    "conversion",
    "vocoding",
    "encoders",
    "memory",
    "loading",
    "retrieval",
    "onnx_chain",
)


def main() -> None:
    """Run the benchmarks that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"any of: {', '.join(NAMES)}; default: all")
    names = parser.parse_args().names or NAMES
    unknown = set(names) - set(NAMES)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    print(
        f"Python {platform.python_version()}, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads, {platform.machine()}\n"
    )
    for name in names:
        print(f"## {name}\n", flush=True)
        importlib.import_module(f"benchmarks.{name}").main()
        print()


if __name__ == "__main__":
    main()
