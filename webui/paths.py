"""Paths that a page may read and write: those in the project folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path

from modules.common.errors import ConfigError
from modules.common.text import is_line

VOICE_MODELS, DIFFUSION_MODELS = ("G_*.pth", "*.pth", "*.safetensors"), ("model_*.pt",)
CLUSTER_FILES = ("kmeans*.pt", "*index*.pkl")  # k-means models and retrieval indices
_MODEL_FOLDERS = ("logs", "trained", "checkpoints", "demo/*/logs")
# folders that may be, or contain, symbolic links of the project's owner to another disk
_LINKED = {"logs", "trained", "checkpoints", "dataset_raw", "dataset", "raw", "results", "configs", "demo"}
_LONGEST = 1000  # characters of a path
_NO_NAME = re.compile(r"[/\\:*?\"<>|]")


def inside(root: Path, path: str | Path | None, what: str = "a path") -> Path:
    """``path``, absolute or relative to the project folder, relative to it; messages call it ``what``.

    Raises:
        ConfigError: It is empty, not a line of text, or leads out of the project folder other than by
            the owner's links.
    """
    text = str(path or "").strip()
    if not text:
        raise ConfigError(f"choose {what} first")
    if not is_line(text):
        raise ConfigError(f"{text[:100]!r} is not a path: it contains control characters")
    try:
        if len(text) > _LONGEST:
            raise ValueError(text)
        base = root.resolve()
        real = (base / text).resolve()
        return real.relative_to(base) if real.is_relative_to(base) else _linked(base, Path(text), real)
    except (ValueError, OSError, RuntimeError):  # outside; an invalid name; a loop of links
        raise ConfigError(f"{text[:100]} is not in the project folder; move it there to use it") from None


def _linked(base: Path, path: Path, real: Path) -> Path:
    """``path``, relative to ``base``, if a link in one of the folders ``_LINKED`` leads to it.

    Only the first link on the way is followed out of the project; ValueError for other paths.
    """
    path = path.relative_to(base) if path.is_absolute() else path
    ways = [*reversed(path.parents), path]
    link = next((way for way in ways if (base / way).is_symlink()), None)
    if ".." in path.parts or link is None or link.parts[0] not in _LINKED:
        raise ValueError(path)
    real.relative_to((base / link).resolve())
    return path


def served_path(root: Path, path: Path) -> str:
    """File that Gradio can send to a page: ``path``, or a copy if a link leads out of the project."""
    from gradio.processing_utils import save_file_to_cache
    from gradio.utils import get_upload_folder

    is_here = path.resolve().is_relative_to(root.resolve())
    return str(path) if is_here else save_file_to_cache(path, get_upload_folder())


def plain_name(name: str | None, what: str = "a name") -> str:
    """``name`` without outer spaces; raises ConfigError if it cannot be a file name on every system."""
    text = (name or "").strip()
    strange = _NO_NAME.search(text) or not is_line(text)
    if not text or strange or text.strip(". ") != text or len(text.encode()) > 200:
        raise ConfigError(f"{what} must be the plain name of a file, without folders, not {text[:60]!r}")
    return text


def find_models(root: Path, patterns: Sequence[str] = (*VOICE_MODELS, *DIFFUSION_MODELS)) -> list[str]:
    """Files in the model folders whose names match, newest first, relative to ``root``.

    Their content is checked when they are loaded.
    """
    found: dict[Path, float] = {}
    folders = [folder for name in _MODEL_FOLDERS for folder in root.glob(name)]
    for pattern in patterns:
        for path in chain(root.glob(pattern), *(folder.rglob(pattern) for folder in folders)):
            if not path.name.startswith((".", "D_")) and path.is_file():
                with suppress(ConfigError, OSError):  # skip what is outside, or was deleted meanwhile
                    inside(root, path)
                    found[path.relative_to(root)] = path.stat().st_mtime
    return [path.as_posix() for path in sorted(found, key=lambda path: (-found[path], path))]
