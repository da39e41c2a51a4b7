"""Memory of the web page after it loads and unloads a voice again and again.

Prints the resident memory after 3 warm-ups and after 20 more loads and unloads:

    python -m benchmarks.webui.memory
"""

from __future__ import annotations

from pathlib import Path

import psutil
import torch

from benchmarks.measure import temporary_folder
from benchmarks.workspace import template_without_downloads, write_model
from modules.common.cli import make_parser
from modules.common.progress import progress_bar
from webui.session import Session

WARM_UPS, ROUNDS = 3, 20


def main() -> None:
    """Measure and print."""
    make_parser(__doc__).parse_args()
    process, session = psutil.Process(), Session()
    with temporary_folder() as folder:
        options = write_model(folder, template_without_downloads("published size"))
        size = Path(options.model_path).stat().st_size / 2**20
        after = []
        for _ in progress_bar(range(WARM_UPS + ROUNDS), unit="load"):
            session.load(options).result()
            loaded = process.memory_info().rss / 2**20
            session.unload()
            after.append(process.memory_info().rss / 2**20)
    first, last = after[WARM_UPS - 1], after[-1]
    print(f"model: {size:.0f} MB; torch {torch.__version__}; resident with it {loaded:.0f} MB")
    print(f"after {WARM_UPS} loads and unloads: {first:.1f} MB; after {ROUNDS} more: {last:.1f} MB")
    print(f"drift: {last - first:+.1f} MB; highest {max(after[WARM_UPS:]) - first:+.1f} MB")


if __name__ == "__main__":
    main()
