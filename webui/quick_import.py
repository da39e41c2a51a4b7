"""Import Gradio without the stubs for editors that it writes: half of the time that it takes.

For each of its components Gradio parses its own source and brings a ``.pyi``
file beside it up to date, at every import. Of a class without a file it makes
none; so, as long as it is imported, its classes have none.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any


def import_gradio() -> None:
    """Import Gradio; afterwards everything is as it was."""
    known = inspect.getfile

    def getfile(thing: Any) -> str:
        if isinstance(thing, type) and thing.__module__.startswith("gradio."):
            raise OSError("no stubs are wanted")
        return known(thing)

    inspect.getfile = getfile  # type: ignore[assignment]
    try:
        importlib.import_module("gradio")
    finally:
        inspect.getfile = known
