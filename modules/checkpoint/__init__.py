"""The only entry point to model files: reading and writing them without ever running code from them.

The names of reader.py, on first use: programs without PyTorch import identify.py.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modules.checkpoint.reader import *  # noqa: F403


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("modules.checkpoint.reader"), name)
