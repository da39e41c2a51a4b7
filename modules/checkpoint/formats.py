"""The files that tensors come in, told apart by their content: names say nothing."""

from __future__ import annotations

import errno
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from modules.checkpoint.allowlist import DamagedError, UnsafePickleError, sanitize
from modules.checkpoint.archive import Archive, ZipArchive
from modules.checkpoint.legacy import LegacyArchive, TarArchive
from modules.checkpoint.safetensors_io import nested


def open_archive(file: BinaryIO, head: bytes, strict: bool, arrays: bool = False) -> Archive:
    """Return the torch file in ``file``, in whichever format its first 512 bytes, ``head``, tell.

    For ``strict`` and ``arrays`` see :class:`modules.checkpoint.archive.Archive`.

    Raises:
        UnsafePickleError: It asks for a name that weights have no need of.
        DamagedError: It is none, or broken.
    """
    kind: type[Archive] = LegacyArchive
    if head.startswith(b"PK"):
        kind = ZipArchive
    elif head[257:262] == b"ustar" or head.startswith((b"storages\0", b"tensors\0", b"pickle\0")):
        kind = TarArchive
    try:
        return kind(file, strict, arrays)
    except (UnsafePickleError, DamagedError, MemoryError):
        raise
    except OSError as error:
        if error.errno != errno.EINVAL:  # which is for a place before the start
            raise
        raise DamagedError("it is cut short, or its end is damaged") from None
    except zipfile.BadZipFile:
        raise DamagedError("it is cut short, or its end is damaged") from None
    except Exception as error:  # parts that make no sense together raise nearly anything
        raise DamagedError(f"it is damaged ({type(error).__name__} between its parts)") from None


def is_safetensors(head: bytes, size: int) -> bool:
    """Tell by its first 9 bytes whether a file of ``size`` bytes is a safetensors file."""
    return len(head) >= 9 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size - 8


def read_safetensors(path: Path, head: bytes, strict: bool) -> dict[str, Any]:
    """Return the content of a safetensors file, floats as float32 unless ``strict``; raises DamagedError.

    It is a checkpoint if the file says so (modules/checkpoint/safetensors_io.py), or else its tensors by
    name.
    """
    from safetensors import SafetensorError, safe_open

    if int.from_bytes(head[:8], "little") > 1_000_000 + path.stat().st_size // 64:
        raise DamagedError("it lists more tensors than a model has")
    try:
        with safe_open(path, framework="pt") as file:
            found: dict[str, Tensor] = {}
            for name in file.keys():  # noqa: SIM118 - no mapping
                tensor = file.get_tensor(name)
                dtype = torch.float32 if tensor.is_floating_point() and not strict else tensor.dtype
                found[name] = tensor.to(dtype, copy=True)  # the file's own memory goes when it is closed
            return nested(found, file.metadata())
    except SafetensorError as error:
        raise DamagedError(f"safetensors says: {sanitize(str(error))}") from None
