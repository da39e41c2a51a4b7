"""What comes from outside: how much of it, under which names, and which files a request may name.

Files that a page uploads lie in a folder of Gradio's until they are a day old.
Everything else must lie in the project folder.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.common.errors import ConfigError
from webui.places import inside

if TYPE_CHECKING:
    from inference.options import ConvertOptions

LARGEST = 2 * 2**30  # bytes of one upload: three hours of stereo, or any published model
LONGEST_NAME = 100  # bytes of a result's first part; the rest of the name comes on top
# options that name files, and what to call them in messages
PATHS = {
    "model_path": "a model",
    "config_path": "a configuration",
    "onnx": "an ONNX voice",
    "cluster_model_path": "a cluster model or index",
    "diffusion_model_path": "a diffusion model",
    "diffusion_config_path": "a diffusion configuration",
    "spk_mix_file": "a file of tracks",
}


def uploads_folder() -> Path:
    """Return the folder where Gradio keeps what was uploaded."""
    from gradio.utils import get_upload_folder

    return Path(get_upload_folder())


def within_reach(root: Path, options: ConvertOptions) -> ConvertOptions:
    """Return ``options`` with the paths that they use seen from the project folder.

    Raises:
        ConfigError: One leads elsewhere; uploads may be used too.
    """
    changed: dict[str, Any] = {
        name: str(_reachable(root, value, what))
        for name, what in PATHS.items()
        if (value := getattr(options, name))
    }
    return replace(options, **changed)


def _reachable(root: Path, value: str, what: str) -> Path:
    path = Path(value)
    if path.is_absolute() and path.resolve().is_relative_to(uploads_folder().resolve()):
        return path.resolve()
    return inside(root, value, what)


def clean_stem(name: str) -> str:
    """Return the first part of a result's name: letters of any script, digits, blanks and ``._-()``.

    What is left of a hostile name cannot leave its folder, hide, or be too long.
    """
    stem = Path(name.replace("\\", "/")).name
    stem = Path(stem).stem if Path(stem).suffix else stem
    kept = "".join(letter if letter.isalnum() or letter in "._-() " else "_" for letter in stem)
    kept = kept.encode()[:LONGEST_NAME].decode(errors="ignore").strip(" .")
    return kept or "song"


def different(stems: Iterable[str]) -> list[str]:
    """Return the names, numbered where one comes again."""
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
    """Refuse an upload that holds nothing; raises ConfigError."""
    if path.stat().st_size == 0:
        raise ConfigError(f"{path.name} is empty (0 bytes); upload it again")


def scratch() -> tempfile.TemporaryDirectory[str]:
    """Return a folder for what is only needed now."""
    return tempfile.TemporaryDirectory(prefix="glow_svc_", ignore_cleanup_errors=True)
