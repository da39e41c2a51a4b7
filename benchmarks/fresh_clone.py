"""What the first commands cost on a fresh clone, in time and disk: the table in README.md.

    python -m benchmarks.fresh_clone [--folder <an empty folder, with room>]

clones the last commit of this project and runs `make install`, `make demo` and
`make test` there, one after the other, as a newcomer would. The installation is as
quick as the connection, and pip's cache, allow. Without --folder the clone is deleted.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import table
from benchmarks.workspace import ROOT

COMMANDS = {
    "git clone": ["git", "clone", "--quiet", str(ROOT), "."],
    "make install": ["make", "install"],
    "make demo": ["make", "demo"],
    "make test": ["make", "test"],
}


def disk_use(folder: Path) -> int:
    """Return the bytes that a folder takes on the disk; hard links count once, links not at all."""
    seen = {(status.st_dev, status.st_ino): _size(status) for status in _statuses(folder)}
    return sum(seen.values())


def _statuses(folder: Path) -> Iterator[os.stat_result]:
    for place, _, names in os.walk(folder):
        for name in names:
            yield os.lstat(Path(place) / name)


def _size(status: os.stat_result) -> int:
    blocks = getattr(status, "st_blocks", None)  # Windows has none
    return status.st_size if blocks is None else 512 * blocks


def run(folder: Path) -> list[list[str]]:
    """Run the commands in an empty folder; return a row of the table for each."""
    rows, before = [], disk_use(folder)
    for name, command in COMMANDS.items():
        began = time.monotonic()
        code = subprocess.run(command, cwd=folder, check=False).returncode
        spent, after = time.monotonic() - began, disk_use(folder)
        outcome = "" if code == 0 else f" (exit code {code})"
        rows.append([f"`{name}`{outcome}", f"{spent / 60:.1f} min", f"{(after - before) / 1e9:.2f} GB"])
        before = after
    return rows


def main() -> None:
    """Run the commands and print the table."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument("--folder", type=Path, help="where to clone to; it is kept (default: deleted)")
    args = parser.parse_args()
    if args.folder and args.folder.exists() and any(args.folder.iterdir()):
        parser.error(f"{args.folder} is not empty")
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        rows = run(folder)
    table(["command", "time", "disk that it takes"], rows)


if __name__ == "__main__":
    main()
