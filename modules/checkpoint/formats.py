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

import torch
from torch import Tensor

from modules.checkpoint.allowlist import Array, DamagedError, LazyTensor, UnsafePickleError, sanitize
from modules.checkpoint.archive import Archive, ZipArchive
from modules.checkpoint.identify import identify_bytes
from modules.checkpoint.legacy import LegacyArchive, TarArchive
from modules.checkpoint.safetensors_io import is_safetensors, read_safetensors
from modules.checkpoint.unpickler import most_steps
from modules.common.errors import CheckpointError

_DEEPEST = 50  # containers in containers


@contextmanager
def opened(
    path: Path, strict: bool, skip: str | None = None, arrays: bool = False
) -> Iterator[tuple[Any, Callable[[Any], Any]]]:
    """Give the content of a model file, and a function that reads the tensors in a part of it.

    Tensors whose names begin with ``skip`` are left out; for the rest see
    :class:`modules.checkpoint.archive.Archive`.

    Raises:
        CheckpointError: It cannot be read, now or by that function.
    """
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder, not a model file")
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist")
    with one_error(path), path.open("rb") as file:
        head = file.read(512)
        size = path.stat().st_size
        if is_safetensors(head, size):
            yield read_safetensors(path, head, strict), _Plain(None, most_steps(size), skip)
            return
        if kind := identify_bytes(head):
            raise CheckpointError(f"{path} is {kind}")
        archive: Archive
        if head.startswith(b"PK"):
            archive = ZipArchive(file, strict, arrays)
        elif head[257:262] == b"ustar" or head.startswith((b"storages\0", b"tensors\0", b"pickle\0")):
            archive = TarArchive(file, strict, arrays)
        else:
            archive = LegacyArchive(file, strict, arrays)
        yield archive.content, _Plain(archive, most_steps(size), skip)


@contextmanager
def one_error(path: Path, owners: str = "weights have") -> Iterator[None]:
    """Turn whatever goes wrong in reading ``path`` into one CheckpointError, of one line.

    Args:
        path: The file.
        owners: What is in such a file, for the message.
    """
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


class _Plain:
    """Reads the tensors in a value, and puts None for what is unknown."""

    def __init__(self, archive: Archive | None, steps: int, skip: str | None) -> None:
        self._archive = archive
        self._left = steps  # values: a list that holds another twice, and so on, has many
        self._skip = skip

    def __call__(self, value: Any, depth: int = 0) -> Any:
        self._left -= 1
        if depth > _DEEPEST or self._left < 0:
            raise DamagedError("it holds lists in lists without end")
        if self._archive and isinstance(value, LazyTensor | Array):
            return self._archive.tensor(value)
        if isinstance(value, dict):
            return {
                key: self(inner, depth + 1) for key, inner in value.items() if not self._skipped(key, inner)
            }
        if isinstance(value, list | tuple):
            return type(value)([self(inner, depth + 1) for inner in value])
        plain = value is None or isinstance(value, str | bytes | int | float | torch.dtype | Tensor)
        return value if plain else None

    def _skipped(self, key: Any, value: Any) -> bool:
        return (
            self._skip is not None
            and isinstance(value, LazyTensor | Tensor)
            and str(key).startswith(self._skip)
        )
