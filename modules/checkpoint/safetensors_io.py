"""A checkpoint as a safetensors file, which holds a flat list of tensors and some text.

The tensors have the names of the model, so any program that reads safetensors
can use them. The other entries of a checkpoint (its step, its learning rate) and
the second names of shared tensors are metadata, as JSON; a file with such
metadata is a checkpoint, one without is a bare state dict.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from modules.checkpoint.allowlist import DamagedError
from modules.checkpoint.archive import Archive
from modules.common.errors import sanitize

SUFFIX = ".safetensors"
_MAPPED = 32 << 20  # bytes of the file that are read at once
_KEY = "glow_svc"  # its key; {"entries": {...}, "same_as": {second name: first name}}


def flat_bytes(content: Mapping[str, Any]) -> bytes:
    """Bytes of a checkpoint (tensors under "model", beside it numbers and None); ValueError for others."""
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
    return save(tensors, metadata={"format": "pt", _KEY: note})


def is_safetensors(head: bytes, size: int) -> bool:
    """Tell by its first 9 bytes whether a file of ``size`` bytes is a safetensors file."""
    return len(head) >= 9 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size - 8


class SafetensorsFile(Archive):
    """A checkpoint if its metadata say so, or else tensors by name; raises DamagedError."""

    def _read_content(self) -> dict[str, Any]:
        from safetensors import SafetensorError, safe_open

        if int.from_bytes(self.file.read(8), "little") > 1_000_000 + self.size // 64:
            raise DamagedError("it lists more tensors than a model has")
        tensors: dict[str, Tensor] = {}
        names: list[str] | None = None
        try:
            while names is None or names:  # opened again and again: what was read stays in memory until then
                with safe_open(self.file.name, framework="pt") as content:
                    names = list(content.keys()) if names is None else names
                    metadata = content.metadata() or {}
                    n_mapped = 0
                    while names and n_mapped < _MAPPED:
                        tensor = content.get_tensor(name := names.pop(0))
                        tensors[name] = self._copy(tensor)
                        n_mapped += tensor.nbytes
        except SafetensorError as error:
            raise DamagedError(f"safetensors says: {sanitize(str(error))}") from None
        return _nested(tensors, metadata[_KEY]) if _KEY in metadata else tensors

    def _copy(self, tensor: Tensor) -> Tensor:
        """The tensor in memory of its own; raises DamagedError if it has numbers that no module has."""
        if "float4" in str(tensor.dtype):  # torch can read them, and do nothing else
            raise DamagedError("it holds numbers of four bits")
        dtype = torch.float32 if tensor.is_floating_point() and not self.strict else tensor.dtype
        self._claim(tensor.numel() * dtype.itemsize)
        return tensor.to(dtype, copy=True)


def _nested(tensors: dict[str, Tensor], note: str) -> dict[str, Any]:
    """Checkpoint that :func:`flat_bytes` was given; raises DamagedError if the note makes no sense."""
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
    """Key that is equal for two tensors if they are the same memory under two names."""
    if not tensor.numel():
        return object()
    return tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()


def own_storage(tensor: Tensor) -> Tensor:
    """Tensor in its own storage on the CPU: torch and safetensors would write all that it is a view of."""
    tensor = tensor.detach().to("cpu").contiguous()
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, int | float)
