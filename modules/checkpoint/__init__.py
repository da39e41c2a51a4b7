"""The one door to model files: reading and writing them without ever running code from them.

Names are taken from reader.py on first use, so that identify.py, which programs
without PyTorch import too, does not load it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modules.checkpoint.reader import (
        appearance as appearance,
    )
    from modules.checkpoint.reader import (
        load_model as load_model,
    )
    from modules.checkpoint.reader import (
        load_weights as load_weights,
    )
    from modules.checkpoint.reader import (
        model_state as model_state,
    )
    from modules.checkpoint.reader import (
        read_checkpoint as read_checkpoint,
    )
    from modules.checkpoint.reader import (
        read_tensor as read_tensor,
    )
    from modules.checkpoint.reader import (
        read_weights as read_weights,
    )
    from modules.checkpoint.reader import (
        state_of as state_of,
    )
    from modules.checkpoint.reader import (
        write_checkpoint as write_checkpoint,
    )


def __getattr__(name: str) -> Any:
    """Public name of reader.py."""
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("modules.checkpoint.reader"), name)
