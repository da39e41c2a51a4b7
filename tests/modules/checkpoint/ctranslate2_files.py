"""Files as CTranslate2 writes them."""

import struct
from collections.abc import Mapping

import numpy as np

_CODES = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}


def ctranslate2_bytes(
    kind: str, tensors: Mapping[str, np.ndarray], aliases: Mapping[str, str] | None = None, version: int = 6
) -> bytes:
    """Bytes of a file with these tensors; ``aliases`` are names of tensors by other names."""

    def name(text: str) -> bytes:
        return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"

    parts = [struct.pack("<I", version), name(kind), struct.pack("<II", 3, len(tensors))]
    for key, values in tensors.items():
        shape = struct.pack(f"<B{values.ndim}I", values.ndim, *values.shape)
        parts += [name(key), shape, struct.pack("<BI", _CODES[values.dtype.name], values.nbytes)]
        parts.append(values.tobytes())
    parts.append(struct.pack("<I", len(aliases or {})))
    parts += [name(text) for pair in (aliases or {}).items() for text in pair]
    return b"".join(parts)
