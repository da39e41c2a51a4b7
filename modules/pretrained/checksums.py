"""The sha256 of every file that was downloaded, in checksums.json beside them.

Most publishers state none. What the first download brought is therefore
written down: a later one must bring the same, and files that rot are found.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock

from modules.common.errors import ConfigError
from modules.common.files import write_json

NAME = "checksums.json"


@dataclass
class Checksums:
    """What checksums.json holds.

    Attributes:
        downloads: sha256 of what an address gave, by its published url.
        files: sha256 of the files, by their place under pretrain/.
    """

    downloads: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, root: Path) -> Checksums:
        """Return what is recorded in ``root``; raises ConfigError if it cannot be read."""
        path = root / NAME
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            downloads, files = dict(content["downloads"]), dict(content["files"])
            if not all(isinstance(text, str) for text in (*downloads.values(), *files.values())):
                raise ValueError
            return cls(downloads, files)
        except FileNotFoundError:
            return cls()
        except (ValueError, TypeError, KeyError):
            raise ConfigError(f"{path} is damaged; delete it, and the checksums are recorded anew") from None


def record(root: Path, downloads: Mapping[str, str], files: Mapping[str, str]) -> None:
    """Add to the checksums of ``root``, whatever other processes add at the same time."""
    with FileLock(root / f".{NAME}.lock"):
        known = Checksums.load(root)
        known.downloads.update(downloads)
        known.files.update(files)
        write_json(root / NAME, {"downloads": known.downloads, "files": known.files})


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
