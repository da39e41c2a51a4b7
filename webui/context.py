"""What every tab of the page is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


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
    debug: bool
