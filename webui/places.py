"""Where a page may read and write: in the project folder, and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from modules.errors import ConfigError

VOICES, DIFFUSIONS = ("G_*.pth", "*.pth", "*.safetensors"), ("model_*.pt",)
TIMBRES = ("kmeans*.pt", "*index*.pkl")  # k-means models, and indices for retrieval
_MODEL_ROOMS = ("logs", "trained", "checkpoints", ".")
_LONGEST = 1000  # letters of a path
_NO_NAME = re.compile(r"[/\\:*?\"<>|\x00-\x1f]")


def inside(root: Path, path: str | Path | None, what: str = "a path") -> Path:
    """Return ``path`` relative to the project folder.

    Args:
        root: The project folder.
        path: As somebody typed it, from the project folder on or absolute.
        what: Names it in messages.

    Raises:
        ConfigError: It is empty, or leads out of the project folder.
    """
    text = str(path or "").strip()
    if not text:
        raise ConfigError(f"choose {what} first")
    try:
        if len(text) > _LONGEST:
            raise ValueError(text)
        base = root.resolve()
        return (base / text).resolve().relative_to(base)
    except (ValueError, OSError, RuntimeError):  # outside; a name that no system allows; links in a circle
        raise ConfigError(
            f"{text[:100]} is not in the project folder; only what is there can be used, so move it there"
        ) from None


def plain_name(name: str | None, what: str = "a name") -> str:
    """Return ``name`` if it can be the name of a file or folder everywhere; raises ConfigError if not."""
    text = (name or "").strip()
    if not text or text.strip(". ") != text or _NO_NAME.search(text) or len(text.encode()) > 200:
        raise ConfigError(f"{what} must be the plain name of a file, without folders, not {text[:60]!r}")
    return text


def find_models(root: Path, patterns: Sequence[str] = (*VOICES, *DIFFUSIONS)) -> list[str]:
    """Return what may be models in the folders where they lie, newest first, relative to ``root``.

    The names only: what a file is, its content tells when it is loaded.
    """
    found: dict[Path, float] = {}
    for room in _MODEL_ROOMS:
        folder = root / room
        for pattern in patterns:
            for path in folder.glob(pattern) if room == "." else folder.rglob(pattern):
                if path.is_file() and not path.name.startswith((".", "D_")):
                    found[path.relative_to(root)] = path.stat().st_mtime
    return [path.as_posix() for path in sorted(found, key=lambda path: (-found[path], path))]
