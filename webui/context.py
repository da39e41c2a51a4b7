"""Project and settings that every tab gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class Switch:
    """A setting that is changed while the server runs; true while it is on."""

    def __init__(self, on: bool = False) -> None:
        self.on = on

    def __bool__(self) -> bool:
        return self.on


@dataclass(frozen=True)
class Context:
    """Project and settings of a page.

    Attributes:
        root: The project folder, which is the current directory.
        text: Label, info or Markdown by its key in webui/texts, translated in the browser.
        debug: Whether unexpected errors show their traceback.
    """

    root: Path
    text: Callable[[str], Any]
    debug: Switch
