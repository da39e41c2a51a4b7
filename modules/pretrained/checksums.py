"""The sha256 of every file that was downloaded, in checksums.json beside them.

Most publishers state none, so the hash of the first download is
recorded: later downloads must match it, and corrupted files are detected.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock

from modules.common.errors import ConfigError
from modules.common.files import write_json

NAME = "checksums.json"


def load_checksums(root: Path) -> dict[str, dict[str, str]]:
    """Checksums recorded in ``root``: "downloads" by published url, "files" by place under ``root``.

    Raises:
        ConfigError: They cannot be read.
    """
    path = root / NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        known = {kind: dict(content[kind]) for kind in ("downloads", "files")}
        if not all(isinstance(text, str) for sums in known.values() for text in sums.values()):
            raise ValueError
        return known
    except FileNotFoundError:
        return {"downloads": {}, "files": {}}
    except (ValueError, TypeError, KeyError):
        raise ConfigError(f"{path} is damaged; delete it, and the checksums are recorded again") from None


def record(root: Path, downloads: Mapping[str, str], files: Mapping[str, str]) -> None:
    """Add to the checksums of ``root``, whatever other processes add at the same time."""
    with FileLock(root / f".{NAME}.lock"):
        known = load_checksums(root)
        known["downloads"].update(downloads)
        known["files"].update(files)
        write_json(root / NAME, known)


def sha256_of(path: Path) -> str:
    """Hash of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
