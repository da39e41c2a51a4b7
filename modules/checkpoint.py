"""Reading and writing model files without ever running code from them.

Model files come from strangers, and a pickle can do anything. Only tensors and
plain values are read (``weights_only``), plus the one numpy scalar that the
published trainer left in its optimizer state.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from modules.errors import CheckpointError
from modules.files import replacing

_SCALAR = np.float64(0).__reduce__()[0]  # the function that rebuilds numpy scalars
_NUMPY_SCALAR: list[Any] = [
    (_SCALAR, "numpy.core.multiarray.scalar"),  # numpy 1
    (_SCALAR, "numpy._core.multiarray.scalar"),  # numpy 2
    np.dtype,
    *{type(np.dtype(name)) for name in ("float64", "float32", "int64", "int32")},
]


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Return what a torch checkpoint holds, on the CPU.

    Raises:
        CheckpointError: The file is missing, cut short, no checkpoint, or holds
            an object that could run code.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist")
    try:
        with torch.serialization.safe_globals(_NUMPY_SCALAR), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise CheckpointError(
            f"{path} is refused: it asks for {found.group(1)}, which is no tensor and could run code"
            if found
            else f"{path} is refused: it is damaged, or holds more than tensors and plain values"
        ) from None
    except Exception as error:  # garbage can make the reader raise nearly anything
        raise CheckpointError(f"{path} cannot be read as a checkpoint: {_first_line(error)}") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a checkpoint")
    return content


def write_checkpoint(path: str | Path, content: dict[str, Any]) -> None:
    """Write ``content`` (tensors and plain values) atomically.

    Raises:
        OSError: It cannot be written; above all, the disk is full.
    """
    with replacing(path) as temporary, open(temporary, "wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:  # torch closes its archive first, and complains of that instead
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def load_weights(
    module: nn.Module, state: dict[str, Tensor], source: str | Path, tables: Collection[str] = ()
) -> list[str]:
    """Copy ``state`` into ``module``, by name and shape, in the module's own precision.

    Args:
        module: Where to.
        state: Tensors by name.
        source: The file they are from, for messages.
        tables: Names of tensors with a row for each speaker: with another
            number of rows, the module keeps its own.

    Returns:
        The tables that were kept.

    Raises:
        CheckpointError: Tensors are missing, unknown or of another shape; at
            most five are named.
    """
    wanted = module.state_dict()
    kept = [
        name
        for name in tables
        if name in wanted.keys() & state.keys()
        and len(state[name]) != len(wanted[name])
        and state[name].shape[1:] == wanted[name].shape[1:]
    ]
    state = {**state, **{name: wanted[name] for name in kept}}
    wrong = [f"{name} is missing" for name in wanted.keys() - state.keys()]
    wrong += [f"{name} is unknown" for name in state.keys() - wanted.keys()]
    wrong += [
        f"{name} is {tuple(state[name].shape)}, wanted {tuple(wanted[name].shape)}"
        for name in wanted.keys() & state.keys()
        if state[name].shape != wanted[name].shape
    ]
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise CheckpointError(
            f"{source} does not fit the model that the configuration describes: "
            f"{'; '.join(sorted(wrong)[:5])}{more}. Use the config.json saved beside the checkpoint."
        )
    module.load_state_dict(state)
    return kept


def load_model(module: nn.Module, path: str | Path) -> None:
    """Load the weights of a published or own ``G_*.pth`` into ``module``.

    Raises:
        CheckpointError: See :func:`read_checkpoint` and :func:`load_weights`.
    """
    content = read_checkpoint(path)
    state = content.get("model")
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} holds no 'model'; it is no checkpoint of train.py")
    load_weights(module, state, path)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
