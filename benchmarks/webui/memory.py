"""Memory of the web page after it loads and unloads a voice again and again.

Prints the resident memory after 3 warm-ups and after 20 more loads and unloads:

    python -m benchmarks.webui.memory
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from modules.common.cli import entry_point, make_parser

WARM_UPS, ROUNDS = 3, 20


@entry_point
def main(argv: list[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    parser = make_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="loads and unloads (%(default)s)")
    rounds = parser.parse_args(argv).rounds
    import psutil
    import torch

    from benchmarks.workspace import template_without_downloads, write_model
    from modules.common.progress import progress_bar
    from webui.session import Session

    process, session = psutil.Process(), Session()
    with tempfile.TemporaryDirectory() as name:
        options = write_model(Path(name), template_without_downloads("config_template.json"))
        size = Path(options.model_path).stat().st_size / 2**20
        after = []
        for _ in progress_bar(range(WARM_UPS + rounds), unit="load"):
            session.load(options).result()
            loaded = process.memory_info().rss / 2**20
            session.unload()
            after.append(process.memory_info().rss / 2**20)
    first, last = after[WARM_UPS - 1], after[-1]
    print(f"model: {size:.0f} MB; torch {torch.__version__}; resident with it {loaded:.0f} MB")
    print(f"after {WARM_UPS} loads and unloads: {first:.1f} MB; after {rounds} more: {last:.1f} MB")
    print(f"drift: {last - first:+.1f} MB; highest {max(after[WARM_UPS:]) - first:+.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
