"""Model files, opened: their format is told by their content, for names say nothing.

Whatever is wrong with a file ends in one :class:`CheckpointError`.
"""

from __future__ import annotations

import errno
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modules.checkpoint.allowlist import DamagedError, UnsafePickleError
from modules.checkpoint.archive import Archive, ZipArchive
from modules.checkpoint.identify import identify_bytes
from modules.checkpoint.legacy import LegacyArchive, TarArchive
from modules.checkpoint.safetensors_io import SafetensorsFile, is_safetensors
from modules.common.errors import CheckpointError, sanitize


@contextmanager
def opened(
    path: Path, strict: bool, skip: str | None = None, arrays: bool = False
) -> Iterator[tuple[Any, Callable[[Any], Any]]]:
    """Give the content of a model file, and a function that reads the tensors in a part of it.

    For the arguments see :class:`modules.checkpoint.archive.Archive`. Both raise CheckpointError.
    """
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder, not a model file")
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist")
    with as_checkpoint_error(path), path.open("rb") as file:
        head = file.read(512)
        kind: type[Archive] = LegacyArchive
        if is_safetensors(head, path.stat().st_size):
            kind = SafetensorsFile
        elif head.startswith(b"PK"):
            kind = ZipArchive
        elif head[257:262] == b"ustar" or head.startswith((b"storages\0", b"tensors\0", b"pickle\0")):
            kind = TarArchive
        elif other := identify_bytes(head):
            raise CheckpointError(f"{path} is {other}")
        archive = kind(file, strict, skip, arrays)
        yield archive.content, archive.plain


@contextmanager
def as_checkpoint_error(path: Path, owners: str = "weights have") -> Iterator[None]:
    """Turn whatever goes wrong in reading ``path``, with ``owners`` in it, into one CheckpointError."""
    try:
        yield
    except CheckpointError:
        raise
    except UnsafePickleError as error:
        raise CheckpointError(
            f"{path} is refused: it asks for {error}, which {owners} no need of and which could run code"
        ) from None
    except Exception as error:  # parts that make no sense together raise nearly anything
        raise CheckpointError(f"{path} cannot be read: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    if isinstance(error, DamagedError):
        return str(error)
    if isinstance(error, MemoryError):
        return "there is not enough memory for it"
    if isinstance(error, OSError) and error.errno != errno.EINVAL:  # which is for a place before the start
        return error.strerror or str(error)
    if isinstance(error, zipfile.BadZipFile | OSError):
        return "it is cut short, or its end is damaged"
    return f"it is damaged ({type(error).__name__}: {sanitize(str(error))})"
