"""Uploads and results: limits, file names, and which paths a request may use.

Uploads are kept in Gradio's folder for a day. All other files that a request names
must be in the project folder.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.common.errors import ConfigError
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


def check_paths(root: Path, options: ConvertOptions) -> ConvertOptions:
    """``options`` with paths relative to the project folder, or of uploads; raises ConfigError for others."""
    changed: dict[str, Any] = {}
    for name, what in PATHS.items():
        if value := getattr(options, name):
            path = Path(value)
            uploaded = path.is_absolute() and path.resolve().is_relative_to(uploads_folder())
            changed[name] = str(path.resolve() if uploaded else inside(root, value, what))
    return replace(options, **changed)


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
