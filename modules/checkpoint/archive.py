"""A torch file, open: a pickle, and records of raw numbers that are read when a tensor is wanted.

The pickle is interpreted by modules/checkpoint/unpickler.py and says where each tensor
lies. What a trainer leaves beside the model is never read, so it costs nothing.

Every size that a file claims is held against the bytes there are, before memory
is asked for. Members of zips must be stored as they are, as torch does it, which
leaves nothing for a bomb to unfold; together they are read at most twice.
"""

from __future__ import annotations

import io
import struct
import zipfile
from abc import ABC, abstractmethod
from typing import Any, BinaryIO

import torch
from torch import Tensor

from modules.checkpoint.allowlist import (
    UNKNOWN,
    Array,
    DamagedError,
    LazyTensor,
    Storage,
    StorageType,
    UnsafePickleError,
    sanitize,
)
from modules.checkpoint.unpickler import PickleStream, most_text, unpickle

_LARGEST_DIRECTORY = 4_000_000  # bytes of a zip's list of members: 40 000 tensors
_SHARED = 50_000_000  # bytes of tensors beyond twice the file: several may be one record
_PIECE = 1 << 20


class Archive(ABC):
    """A torch file, open.

    Args:
        file: Open for reading.
        strict: Refuse classes that are not known, and keep the precision of the file. Otherwise floats
            become float32 as they are read, so the file is never in memory in two precisions.
        arrays: Let its pickle be as large as the file: it is of a kind that keeps numbers there.

    Attributes:
        size: Bytes of the file.
        content: What was saved, with LazyTensor for each tensor.
    """

    content: Any

    def __init__(self, file: BinaryIO, strict: bool, arrays: bool = False) -> None:
        self._file = file
        self._strict = strict
        self.size = file.seek(0, 2)
        self._text = most_text(self.size, arrays)
        self._claimed = 0  # bytes of tensors
        self._n_read = 0  # bytes of records
        self._declared: dict[str | int, Storage] = {}
        self._records: dict[str | int, Tensor] = {}
        file.seek(0)
        self._open()

    @abstractmethod
    def _open(self) -> None:
        """Find the pickle and set the content."""

    @abstractmethod
    def _read(self, storage: Storage, into: memoryview) -> None:
        """Fill ``into`` with the record of ``storage``."""

    def tensor(self, lazy: LazyTensor) -> Tensor:
        """Read a tensor; raises DamagedError, and OSError where it is the disk that fails."""
        try:
            return self._tensor(lazy)
        except (DamagedError, OSError, MemoryError):
            raise
        except Exception as error:  # zipfile: wrong checksums; torch: what no check here has thought of
            raise DamagedError(f"its numbers are damaged ({sanitize(str(error))})") from None

    def array(self, array: Array) -> Tensor:
        """Return a copy of an array as a tensor, floats as of a tensor; raises DamagedError."""
        if array.values is None:
            raise DamagedError("an array in it holds no numbers")
        self._claim(array.values.nbytes)
        try:
            tensor = torch.from_numpy(array.values.copy())
        except TypeError:  # of numbers that torch has not
            raise DamagedError(f"it holds an array of {array.values.dtype}") from None
        return tensor.float() if tensor.is_floating_point() and not self._strict else tensor

    def _claim(self, n_bytes: int) -> None:
        self._claimed += n_bytes
        if self._claimed > 2 * self.size + _SHARED:
            raise DamagedError("its tensors claim more values than it has")

    def _tensor(self, lazy: LazyTensor) -> Tensor:
        dtype = lazy.dtype
        if not self._strict and dtype.is_floating_point:
            dtype = torch.float32
        self._claim(lazy.n_values * dtype.itemsize)
        if not lazy.n_values:
            return torch.empty(lazy.size, dtype=dtype)
        record = self._record(lazy.storage, keep=dtype == lazy.dtype)
        whole = record.numel() - record.numel() % lazy.dtype.itemsize
        return record[:whole].view(lazy.dtype).as_strided(lazy.size, lazy.stride, lazy.offset).to(dtype)

    def _record(self, storage: Storage, keep: bool) -> Tensor:
        """Return all bytes of a record; ``keep`` them for tensors that share it."""
        if storage.key in self._records:
            return self._records[storage.key]
        n_bytes = storage.n_values * storage.dtype.itemsize
        self._n_read += n_bytes
        if self._n_read > 2 * self.size:
            raise DamagedError("its tensors claim more values than it has")
        record = torch.empty(n_bytes, dtype=torch.uint8)
        if n_bytes:
            self._read(storage, record.numpy().data)
        if keep:
            self._records[storage.key] = record
        return record

    def _persistent(self, key: Any) -> Any:
        """Return the storage that the pickle names; source code beside a module is passed over."""
        if isinstance(key, tuple) and len(key) > 1 and key[0] == "module":
            return UNKNOWN
        if not isinstance(key, tuple) or not key or key[0] != "storage":
            raise UnsafePickleError(f"the outside object {name_of(key)!r}")
        kind, name, _, n_values = key[1:5]
        start, length = 0, n_values
        if len(key) == 6 and isinstance(key[5], tuple):
            _, start, length = key[5]
        if (
            not isinstance(kind, StorageType)
            or not isinstance(name, str | int)
            or any(type(n) is not int or not 0 <= n <= self.size for n in (n_values, start, length))
            or start + length > n_values
        ):
            raise DamagedError("a storage in it claims more values than there are")
        storage = Storage(name, kind.dtype, n_values, start, length)
        first = self._declared.setdefault(name, storage)
        if (first.dtype, first.n_values) != (storage.dtype, storage.n_values):
            raise DamagedError("two of its storages are one")
        return storage


class ZipArchive(Archive):
    """What ``torch.save`` has written since 1.6."""

    def _open(self) -> None:
        self._check_directory()
        self._zip = zipfile.ZipFile(self._file)
        names = self._zip.namelist()
        pickles = [name for name in names if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(pickles) != 1:
            raise DamagedError("it is a zip, but not one that torch wrote")
        self._root = pickles[0].removesuffix("data.pkl")
        if self._root + "constants.pkl" in names:
            raise DamagedError("it is a TorchScript program; only the weights of a model are of use")
        if self._root + "byteorder" in names and self._bytes("byteorder") != b"little":
            raise DamagedError("its numbers are in the byte order of another kind of machine")
        pickle = self._bytes("data.pkl")
        stream = PickleStream(io.BytesIO(pickle), self.size, self._text)
        self.content = unpickle(stream, self._persistent, self._strict)

    def _check_directory(self) -> None:
        """Refuse a list of members that would not fit in memory, which zipfile does not look at."""
        self._file.seek(max(0, self.size - 66_000))
        tail = self._file.read()
        for sign, layout, offset in ((b"PK\x05\x06", "<I", 12), (b"PK\x06\x06", "<Q", 40)):
            place = tail.rfind(sign)
            if place >= 0 and len(tail) >= place + offset + 8:
                (n_bytes,) = struct.unpack_from(layout, tail, place + offset)
                if _LARGEST_DIRECTORY < n_bytes != 0xFFFFFFFF:
                    raise DamagedError("it is a zip of more members than a model has tensors")

    def _member(self, name: str) -> zipfile.ZipInfo:
        try:
            member = self._zip.getinfo(self._root + name)
        except KeyError:
            raise DamagedError(f"its {sanitize(name)} is missing") from None
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise DamagedError("its members are compressed, as torch never does it")
        if member.file_size > self.size:
            raise DamagedError(f"its {sanitize(name)} is cut short")
        return member

    def _bytes(self, name: str) -> bytes:
        member = self._member(name)
        if member.file_size > self._text:
            raise DamagedError("it holds more text than a model needs")
        return self._zip.read(member)

    def _read(self, storage: Storage, into: memoryview) -> None:
        member = self._member(f"data/{storage.key}")
        if member.file_size < len(into):
            raise DamagedError("its tensors claim more values than it has")
        done = 0
        with self._zip.open(member) as record:
            while done < len(into):
                piece = record.read(min(_PIECE, len(into) - done))
                if not piece:
                    raise DamagedError("it is cut short")
                into[done : done + len(piece)] = piece
                done += len(piece)


def name_of(key: Any) -> str:
    """Return what a persistent key names; never its repr, which may be endless."""
    words = key if isinstance(key, tuple) else (key,)
    return sanitize(" ".join(str(word)[:80] for word in words[:6] if isinstance(word, str | bytes)))
