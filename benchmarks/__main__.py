"""Run the benchmarks and print their tables as Markdown: `python -m benchmarks [name ...]`.

With `--page docs/benchmarks.md` the tables also take the place of those in the page, which
stand between `<!-- name -->` and `<!-- end -->`; without names all benchmarks that it shows are run.
"""

from __future__ import annotations

import argparse
import importlib
import io
import platform
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path

from modules.common.cli import make_parser
from modules.common.files import write_text

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
    "denoising": "diffusion.denoising",
    "precision": "quality.precision",
    "encoders": "encoders",
    "memory": "growth.memory",
    "start": "start",
    "loading": "loading",
    "retrieval": "retrieval",
    "growth": "growth.__main__",
    "onnx_chain": "onnx_chain",
}


MACHINE = "processor"  # what the page shows of it


def main() -> None:
    """Run the named benchmarks, or all."""
    parser = get_parser()
    args = parser.parse_args()
    unknown = set(args.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    shown = _shown(args.page) if args.page else list(BENCHMARKS)
    names = args.names or [name for name in BENCHMARKS if name in shown]
    # not at the top: processes of benchmarks import this file, and some must not load it
    import torch

    from benchmarks.machine import processor

    machine = (
        f"{processor()}; Python {platform.python_version()}, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads\n"
    )
    print(machine)
    tables = {MACHINE: machine}
    for name in names:
        print(f"## {name}\n", flush=True)
        with redirect_stdout(_Copy()) as copy:
            importlib.import_module(f"benchmarks.{BENCHMARKS[name]}").main()
        tables[name] = copy.getvalue()
        print()
        if args.page:  # at once: a run that is stopped keeps what it measured
            write_text(args.page, renewed(args.page.read_text(encoding="utf-8"), tables))


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="name", help=f"any of: {', '.join(BENCHMARKS)}; default: all"
    )
    parser.add_argument("--page", type=Path, help="Markdown file whose tables to renew")
    return parser


def renewed(page: str, tables: dict[str, str]) -> str:
    """The text of a page with new tables, by name of the benchmark."""
    for name, text in tables.items():
        block = f"<!-- {name} -->\n\n{text.strip()}\n\n<!-- end -->"
        page = re.sub(rf"<!-- {name} -->.*?<!-- end -->", lambda _: block, page, flags=re.DOTALL)  # noqa: B023
    return page


def _shown(page: Path) -> list[str]:
    return re.findall(r"<!-- (\w+) -->", page.read_text(encoding="utf-8"))


class _Copy(io.StringIO):
    """Keeps what is printed, and prints it."""

    def write(self, text: str) -> int:
        sys.__stdout__.write(text)  # type: ignore[union-attr]
        return super().write(text)


if __name__ == "__main__":
    main()
