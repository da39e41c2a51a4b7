"""Uploads and results: limits, file names, and which paths a request may use.

Uploads are kept in Gradio's folder for a day. All other files that a request names
must be in the project folder.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.common.errors import ConfigError
from modules.common.text import is_line
from webui.paths import inside

if TYPE_CHECKING:
    from inference.options import ConvertOptions

LARGEST = 2 * 2**30  # bytes of one upload: three hours of stereo audio, or any published model
LONGEST_NAME = 100  # bytes of the song's name in the name of a result
# options that name files, with what messages call them
PATHS = {
    "model_path": "a model",
    "config_path": "a configuration",
    "onnx": "an ONNX model",
    "cluster_model_path": "a cluster model or index",
    "diffusion_model_path": "a diffusion model",
    "diffusion_config_path": "a diffusion configuration",
    "spk_mix_file": "a speaker mix file",
}


def uploads_folder() -> Path:
    """Folder in which Gradio keeps uploads."""
    from gradio.utils import get_upload_folder

    return Path(get_upload_folder()).resolve()


def make_uploads_private() -> None:
    """Keep uploads where other users of this machine cannot read them, as they can in Gradio's own folder.

    GRADIO_TEMP_DIR names another folder, which is taken as it is. To be called before Gradio is imported.

    Raises:
        ConfigError: Another user owns the folder.
    """
    if os.environ.get("GRADIO_TEMP_DIR") or os.name != "posix":  # elsewhere each user has such a folder
        return
    folder = Path(tempfile.gettempdir()) / f"glow_svc_uploads_{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise ConfigError(f"another user made {folder}; name a folder of your own in GRADIO_TEMP_DIR")
    folder.chmod(0o700)
    os.environ["GRADIO_TEMP_DIR"] = str(folder)


def is_upload(path: str | None) -> bool:
    """Whether a path leads to an uploaded file."""
    known = path is not None and is_line(path) and Path(path).is_absolute()
    return known and Path(path or "").resolve().is_relative_to(uploads_folder())


def check_paths(root: Path, options: ConvertOptions) -> ConvertOptions:
    """``options`` with paths relative to the project folder, or of uploads; raises ConfigError for others."""
    changed: dict[str, Any] = {}
    for name, what in PATHS.items():
        if value := getattr(options, name):
            changed[name] = str(usable_path(root, value, what))
    return replace(options, **changed)


def usable_path(root: Path, path: str, what: str = "a path") -> Path:
    """``path`` relative to the project folder, or that of an upload; raises ConfigError for others."""
    return Path(path).resolve() if is_upload(path) else inside(root, path, what)


def clean_stem(name: str) -> str:
    """Name of an uploaded song for its result: letters of any script, digits, spaces and ``._-()``.

    It cannot contain a folder, begin with a dot, or be too long.
    """
    stem = Path(name.replace("\\", "/")).name
    stem = Path(stem).stem if Path(stem).suffix else stem
    kept = "".join(letter if letter.isalnum() or letter in "._-() " else "_" for letter in stem)
    kept = kept.encode()[:LONGEST_NAME].decode(errors="ignore").strip(" .")
    return kept or "song"


def unique_names(stems: Iterable[str]) -> list[str]:
    """The names, with a number where one repeats."""
    used: set[str] = set()
    names = []
    for stem in stems:
        name, number = stem, 1
        while name.casefold() in used:
            number += 1
            name = f"{stem} ({number})"
        used.add(name.casefold())
        names.append(name)
    return names


def check_size(path: Path) -> None:
    """Raise ConfigError for an empty file."""
    if path.stat().st_size == 0:
        raise ConfigError(f"{path.name} is empty (0 bytes); upload it again")


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """Folder that is deleted on leaving the context, as far as the system allows."""
    return tempfile.TemporaryDirectory(prefix="glow_svc_", ignore_cleanup_errors=True)
