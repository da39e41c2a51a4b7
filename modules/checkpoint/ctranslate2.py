"""Files of CTranslate2, which hold the tensors of a model and nothing that could be run.

Version 6: the name and revision of the model's kind, variables, then aliases. Lengths are
unsigned and little-endian, names end in a zero byte.
"""

from __future__ import annotations

import struct
from math import prod

import numpy as np
import torch
from torch import Tensor

from modules.checkpoint.allowlist import DamagedError

VERSION = 6
_TYPES = {0: "<f4", 1: "i1", 2: "<i2", 3: "<i4", 4: "<f2"}
_MOST_AXES = 8


class Ctranslate2Content:
    """Content of one file.

    Raises:
        DamagedError: It is cut short, has anything after its end, or makes no sense.
    """

    kind: str  # of the model, as its converter calls it
    tensors: dict[str, Tensor]  # of the type in the file, in memory of their own
    aliases: dict[str, str]  # name of the tensor, by its other name

    def __init__(self, content: bytes | bytearray) -> None:
        self._content, self._place = content, 0
        if (version := self._number("I")) != VERSION:
            raise DamagedError(f"it is not a file of CTranslate2 of version {VERSION}, but of {version}")
        self.kind = self._name()
        self._number("I")  # revision of the kind
        self.tensors = {}
        for _ in range(self._number("I")):
            name = self._name()
            if name in self.tensors:
                raise DamagedError(f"it has two tensors {name}")
            self.tensors[name] = self._tensor()
        self.aliases = {}
        for _ in range(self._number("I")):
            other = self._name()
            self.aliases[other] = self._name()
        if unknown := set(self.aliases.values()) - self.tensors.keys():
            raise DamagedError(f"it has names of unknown tensors: {min(unknown)}")
        if self._place != len(content):
            raise DamagedError(f"it has {len(content) - self._place} bytes after its end")

    def _number(self, code: str) -> int:
        return int(struct.unpack("<" + code, self._take(struct.calcsize(code)))[0])

    def _take(self, length: int) -> bytes:
        start = self._skip(length)
        return bytes(self._content[start : start + length])

    def _skip(self, length: int) -> int:
        """The place before ``length`` bytes, which the file must have."""
        start, self._place = self._place, self._place + length
        if self._place > len(self._content):
            raise DamagedError("it is cut short")
        return start

    def _name(self) -> str:
        name = self._take(self._number("H"))
        if not name.endswith(b"\0") or not (text := name[:-1].decode("ascii", "replace")).isprintable():
            raise DamagedError("it has a name that is none")
        return text

    def _tensor(self) -> Tensor:
        n_axes = self._number("B")
        if n_axes > _MOST_AXES:
            raise DamagedError(f"it has a tensor of {n_axes} axes")
        shape = [self._number("I") for _ in range(n_axes)]
        if (code := self._number("B")) not in _TYPES:
            raise DamagedError(f"it has numbers of the unknown type {code}")
        dtype, n_bytes = np.dtype(_TYPES[code]), self._number("I")
        if n_bytes != prod(shape) * dtype.itemsize:
            raise DamagedError(f"{n_bytes} bytes are not a tensor of shape {shape}")
        start = self._skip(n_bytes)
        values = np.frombuffer(self._content, dtype, prod(shape), start)
        return torch.from_numpy(values.astype(dtype.newbyteorder("="), copy=True).reshape(shape))
