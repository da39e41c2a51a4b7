"""Presets: all options of a conversion in one small file for each voice, configs/presets/<name>.json.

The command line and the page read and write the same files. What belongs to a song or to a
machine is not in them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from inference.options import ConvertOptions
from inference.options.values import convert_value
from modules.common.errors import ConfigError, sanitize
from modules.common.files import write_json

FOLDER = Path("configs") / "presets"
# of a song, of a machine, or of one run
NOT_KEPT = frozenset(
    ("clean_names", "f0_file", "write_f0", "midi", "write_midi", "preview", "device", "reference")
)
LARGEST = 1 << 16  # bytes
_LETTERS = frozenset("._- ()")


def preset_path(name: str, root: Path | None = None) -> Path:
    """File of a preset; raises ConfigError for a name that is no name of a file."""
    fine = name == name.strip() and name[:1] not in ("", ".") and len(name) <= 80
    if not fine or not all(letter.isalnum() or letter in _LETTERS for letter in name):
        raise ConfigError(
            f"{sanitize(name)!r} cannot be the name of a preset; use letters, digits, spaces and . _ - ( )"
        )
    return (root or Path()) / FOLDER / f"{name}.json"


def preset_names(root: Path | None = None) -> list[str]:
    """Names of the presets that there are."""
    return sorted(path.stem for path in ((root or Path()) / FOLDER).glob("*.json"))


def write_preset(name: str, options: ConvertOptions, root: Path | None = None) -> Path:
    """Write the preset ``name``; return its path. Raises ConfigError for a wrong name, OSError."""
    path = preset_path(name, root)
    values = {key: value for key, value in asdict(options).items() if key not in NOT_KEPT}
    write_json(path, values)
    return path


def read_preset(name: str, root: Path | None = None) -> dict[str, Any]:
    """Options of the preset ``name``, by the names of :class:`ConvertOptions`.

    Raises:
        ConfigError: There is no such preset, or something in its file is wrong.
    """
    path = preset_path(name, root)
    try:
        if path.stat().st_size > LARGEST:
            raise ConfigError(f"{path} is too large for a preset")
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        there = ", ".join(preset_names(root)) or "none; --save_preset writes one"
        raise ConfigError(f"there is no preset {name!r} in {path.parent}; there are: {there}") from None
    except (ValueError, RecursionError):
        raise ConfigError(f"{path} is damaged: it is not JSON; write the preset again") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from None
    known = {option.name for option in fields(ConvertOptions)} - NOT_KEPT
    if not isinstance(content, dict) or not content.keys() <= known:
        unknown = ", ".join(sanitize(key) for key in sorted(content.keys() - known)) if content else ""
        raise ConfigError(
            f"{path} is not a preset, or of another version: {unknown or 'no table of options'}"
        )
    values = {key: convert_value(key, value) for key, value in content.items()}
    ConvertOptions(**values)  # raises if they contradict each other
    return values
