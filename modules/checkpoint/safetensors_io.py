"""A checkpoint as a safetensors file, which holds a flat list of tensors and a few words beside it.

The tensors have the names of the model, so any program that reads safetensors
can use them. The other entries of a checkpoint (its step, its learning rate) and
the second names of tensors that are one stand in a note, as JSON; a file with
such a note is a checkpoint, one without is a bare state dict.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from modules.checkpoint.allowlist import DamagedError

SUFFIX = ".safetensors"
_NOTE = "glow_svc"  # its key; {"entries": {...}, "same_as": {second name: first name}}


def flat_bytes(content: Mapping[str, Any]) -> bytes:
    """Return a checkpoint as the bytes of a safetensors file.

    Args:
        content: Tensors by name under "model", and beside it numbers and None.

    Raises:
        ValueError: It holds more than that: an optimizer, or a list.
    """
    from safetensors.torch import save

    entries = {name: value for name, value in content.items() if name != "model"}
    if not all(map(_is_plain, entries.values())):
        raise ValueError(f"a safetensors file has no place for {', '.join(sorted(entries))}")
    tensors: dict[str, Tensor] = {}
    same_as: dict[str, str] = {}
    first: dict[object, str] = {}
    for name, tensor in content["model"].items():
        kept = first.setdefault(identity(tensor), name)
        if kept == name:
            tensors[name] = own_storage(tensor)
        else:
            same_as[name] = kept
    note = json.dumps({"entries": entries, "same_as": same_as})
    return save(tensors, metadata={"format": "pt", _NOTE: note})


def nested(tensors: dict[str, Tensor], metadata: Mapping[str, str] | None) -> dict[str, Any]:
    """Return the checkpoint that :func:`flat_bytes` was given, or ``tensors`` if the file has no note.

    Raises:
        DamagedError: The note makes no sense.
    """
    note = (metadata or {}).get(_NOTE)
    if note is None:
        return dict(tensors)
    try:
        content = json.loads(note)
        entries, same_as = content["entries"], content["same_as"]
        state = {**tensors, **{second: tensors[first] for second, first in same_as.items()}}
        if not all(map(_is_plain, entries.values())) or len(state) != len(tensors) + len(same_as):
            raise ValueError
        return {**entries, "model": state}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise DamagedError("its note of what it holds is damaged") from None


def identity(tensor: Tensor) -> object:
    """Return what two tensors have in common if they are one under two names."""
    if not tensor.numel():
        return object()
    return tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()


def own_storage(tensor: Tensor) -> Tensor:
    """Return ``tensor`` in memory of its own: torch and safetensors would write all that it is a part of."""
    tensor = tensor.detach().to("cpu").contiguous()
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, int | float)
