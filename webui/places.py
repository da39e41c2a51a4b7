"""Where a page may read and write: in the project folder, and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path

from modules.common.errors import ConfigError

VOICES, DIFFUSIONS = ("G_*.pth", "*.pth", "*.safetensors"), ("model_*.pt",)
TIMBRES = ("kmeans*.pt", "*index*.pkl")  # k-means models, and indices for retrieval
_MODEL_ROOMS = ("logs", "trained", "checkpoints", "demo/*/logs")
# folders that the owner of the project may have linked, or links in them, to where there is more space
_LINKED = {"logs", "trained", "checkpoints", "dataset_raw", "dataset", "raw", "results", "configs", "demo"}
_LONGEST = 1000  # letters of a path
_NO_NAME = re.compile(r"[/\\:*?\"<>|\x00-\x1f]")


def inside(root: Path, path: str | Path | None, what: str = "a path") -> Path:
    """Return ``path`` relative to the project folder.

    Args:
        root: The project folder.
        path: As somebody typed it, from the project folder on or absolute.
        what: Names it in messages.

    Raises:
        ConfigError: It is empty, or leads out of the project folder by other than its own links.
    """
    text = str(path or "").strip()
    if not text:
        raise ConfigError(f"choose {what} first")
    try:
        if len(text) > _LONGEST:
            raise ValueError(text)
        base = root.resolve()
        real = (base / text).resolve()
        return real.relative_to(base) if real.is_relative_to(base) else _linked(base, Path(text), real)
    except (ValueError, OSError, RuntimeError):  # outside; a name that no system allows; links in a circle
        raise ConfigError(
            f"{text[:100]} is not in the project folder; only what is there can be used, so move it there"
        ) from None


def _linked(base: Path, path: Path, real: Path) -> Path:
    """Return ``path``, relative to ``base``, if a link in one of the project's rooms leads to it.

    The first link on the way is the project's own. One that comes after it is
    somebody else's, and must not lead further.

    Raises:
        ValueError: It is not so.
    """
    path = path.relative_to(base) if path.is_absolute() else path
    ways = [*reversed(path.parents), path]
    link = next((way for way in ways if (base / way).is_symlink()), None)
    if ".." in path.parts or link is None or link.parts[0] not in _LINKED:
        raise ValueError(path)
    real.relative_to((base / link).resolve())
    return path


def served(root: Path, path: Path) -> str:
    """Return a file that Gradio can send to a page: it sends none that a link leads out to, but copies."""
    from gradio.processing_utils import save_file_to_cache
    from gradio.utils import get_upload_folder

    is_here = path.resolve().is_relative_to(root.resolve())
    return str(path) if is_here else save_file_to_cache(path, get_upload_folder())


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
    rooms = [folder for room in _MODEL_ROOMS for folder in root.glob(room)]
    for pattern in patterns:
        for path in chain(root.glob(pattern), *(room.rglob(pattern) for room in rooms)):
            if not path.name.startswith((".", "D_")) and path.is_file():
                with suppress(ConfigError, OSError):  # none that is refused, or that is gone by now
                    inside(root, path)
                    found[path.relative_to(root)] = path.stat().st_mtime
    return [path.as_posix() for path in sorted(found, key=lambda path: (-found[path], path))]
