"""What every tab of the page is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class Switch:
    """Something that a page turns on and off while the server runs; true while it is on."""

    def __init__(self, on: bool = False) -> None:
        self.on = on

    def __bool__(self) -> bool:
        return self.on


@dataclass(frozen=True)
class Context:
    """The project that a page works on.

    Attributes:
        root: The project folder; all relative paths are in it, and it is the current directory.
        text: A text by its key in webui/texts, in the browser's language: for labels, infos and Markdown.
        debug: Whether unexpected errors show where they arose.
    """

    root: Path
    text: Callable[[str], Any]
    debug: Switch
