"""Cost of the first commands on a fresh clone, in time and disk space: the table in README.md.

    python -m benchmarks.fresh_clone [--folder <an empty folder, with room>]

clones the last commit of this project and runs `make install`, `make demo` and
`make test` there, one after the other, as a newcomer would. The installation is as
fast as the connection and pip's cache. Without --folder the clone is deleted.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from benchmarks.measure import table, temporary_folder
from benchmarks.workspace import ROOT
from modules.common.children import child_environment
from modules.common.cli import make_parser

COMMANDS = {
    "git clone": ["git", "clone", "--quiet", str(ROOT), "."],
    **{f"make {target}": ["make", target] for target in ("install", "demo", "test")},
}


def disk_use(folder: Path) -> int:
    """Bytes of a folder on the disk; hard links count once, symbolic links are not followed."""
    files = (os.lstat(Path(place) / name) for place, _, names in os.walk(folder) for name in names)
    # blocks of 512 bytes; Windows has none
    blocks = hasattr(os.stat_result, "st_blocks")
    sizes = {(f.st_dev, f.st_ino): 512 * f.st_blocks if blocks else f.st_size for f in files}
    return sum(sizes.values())


def main() -> None:
    """Run the commands and print the table."""
    parser = make_parser(__doc__)
    parser.add_argument("--folder", type=Path, help="clone to there and keep it (default: a temporary one)")
    args = parser.parse_args()
    if args.folder and args.folder.exists() and any(args.folder.iterdir()):
        parser.error(f"{args.folder} is not empty")
    with temporary_folder() as temporary:
        folder = args.folder or temporary
        folder.mkdir(parents=True, exist_ok=True)
        rows, before = [], disk_use(folder)
        for name, command in COMMANDS.items():
            began = time.monotonic()
            code = subprocess.run(command, cwd=folder, env=child_environment(), check=False).returncode
            spent, after = time.monotonic() - began, disk_use(folder)
            outcome = "" if code == 0 else f" (exit code {code})"
            rows.append([f"`{name}`{outcome}", f"{spent / 60:.1f} min", f"{(after - before) / 1e9:.2f} GB"])
            before = after
    table(["command", "time", "disk that it takes"], rows)


if __name__ == "__main__":
    main()
