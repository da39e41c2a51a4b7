"""A torch file, open: a pickle, and records of raw numbers that are read when a tensor is wanted.

The pickle is read by modules/checkpoint/unpickler.py and says where each tensor
lies. What a trainer leaves beside the model is never read, so it costs nothing.

Every size that a file claims is compared with the bytes there are, before memory
is asked for. Members of zips must be stored uncompressed, as torch does it, so
that no zip bomb can unfold; all records together are read at most twice.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, BinaryIO

import torch
from torch import Tensor

from modules.checkpoint.allowlist import (
    UNKNOWN,
    Array,
    DamagedError,
    LazyTensor,
    Storage,
    UnsafePickleError,
    safe_key,
)
from modules.checkpoint.unpickler import PickleStream, Unpickler, max_opcodes
from modules.common.errors import sanitize
from modules.common.zips import open_zip

_DEEPEST = 50  # containers in containers
_SHARED = 50_000_000  # bytes of tensors beyond twice the file: several may share a record


class Archive(ABC):
    """A torch file, open: its ``content`` is what was saved, with LazyTensor for each tensor.

    ``strict`` refuses unknown classes, and keeps the precision of the file. Otherwise floats become
    float32 as they are read, so the file is never in memory in two precisions. Tensors whose names
    begin with ``skip`` are left out; ``arrays``: see :class:`modules.checkpoint.unpickler.PickleStream`.
    """

    def __init__(self, file: BinaryIO, strict: bool, skip: str | None = None, arrays: bool = False) -> None:
        self.file = file
        self.strict = strict
        self.skip = skip
        self.arrays = arrays
        self.size = file.seek(0, 2)
        self.places: dict[str | int, int] = {}  # of records, by their keys
        self.storages: dict[str | int, Storage] = {}  # as first declared
        self._records: dict[str | int, Tensor] = {}
        self._claimed = 0  # bytes of tensors
        self._n_read = 0  # bytes of records
        self._values_left = max_opcodes(self.size)  # a list that holds another twice, and so on, has many
        file.seek(0)
        self.content = self._read_content()

    @abstractmethod
    def _read_content(self) -> Any: ...

    def _locate(self, key: str | int, n_bytes: int) -> tuple[int, int | None]:
        """Place of a record in the file, and the CRC-32 of its ``n_bytes``; None: not known."""
        return self.places[key], None

    def stream(self, file: BinaryIO | None = None) -> PickleStream:
        """Pickles in a file (None: this one) from its present position on."""
        return PickleStream(file or self.file, self.size, self.arrays)

    def unpickle(self, stream: PickleStream, persistent: Callable[[Any], Any] | None = None) -> Any:
        """Read the next pickle, which refers to nothing outside of it without ``persistent``."""
        return Unpickler(stream, persistent or self._refuse, self.strict).load()

    def plain(self, value: Any, depth: int = 0) -> Any:
        """Read the tensors in a part of the content, and put None for what is unknown."""
        self._values_left -= 1
        if depth > _DEEPEST or self._values_left < 0:
            raise DamagedError("it nests lists too deeply")
        if isinstance(value, LazyTensor | Array):
            return self.tensor(value)
        if isinstance(value, dict):
            kept = {key: inner for key, inner in value.items() if not self._is_skipped(key, inner)}
            return {key: self.plain(inner, depth + 1) for key, inner in kept.items()}
        if isinstance(value, list | tuple):
            return type(value)([self.plain(inner, depth + 1) for inner in value])
        known = value is None or isinstance(value, str | bytes | int | float | torch.dtype | Tensor)
        return value if known else None

    def tensor(self, lazy: LazyTensor | Array) -> Tensor:
        """Read a tensor, or copy an array into one; raises DamagedError."""
        if isinstance(lazy, Array):
            return self._array(lazy)
        dtype = torch.float32 if lazy.dtype.is_floating_point and not self.strict else lazy.dtype
        self._claim(lazy.n_values * dtype.itemsize)
        if not lazy.n_values:
            return torch.empty(lazy.size, dtype=dtype)
        record = self._records.get(lazy.storage.key)
        if record is None:
            record = self.read_record(lazy.storage)
            if dtype == lazy.dtype:  # tensors that share a record share its memory
                self._records[lazy.storage.key] = record
        whole = record.numel() - record.numel() % lazy.dtype.itemsize
        return record[:whole].view(lazy.dtype).as_strided(lazy.size, lazy.stride, lazy.offset).to(dtype)

    def read_record(self, storage: Storage) -> Tensor:
        """All bytes of a record (n_bytes,); raises DamagedError."""
        n_bytes = storage.n_values * storage.dtype.itemsize
        self._n_read += n_bytes
        if self._n_read > 2 * self.size:
            raise DamagedError("its tensors claim more values than it has")
        place, crc = self._locate(storage.key, n_bytes)
        record = torch.empty(n_bytes, dtype=torch.uint8)
        data = record.numpy().data
        self.file.seek(place)
        if self.file.readinto(data) != n_bytes:  # type: ignore[attr-defined]  # of every file opened in binary
            raise DamagedError("it is cut short")
        if crc not in (None, zlib.crc32(data)):
            raise DamagedError("its numbers are damaged: their CRC-32 is wrong")
        return record

    def _is_skipped(self, key: Any, value: Any) -> bool:
        named = self.skip is not None and str(key).startswith(self.skip)
        return named and isinstance(value, LazyTensor | Tensor)

    def _array(self, array: Array) -> Tensor:
        if array.values is None:
            raise DamagedError("an array in it holds no numbers")
        self._claim(array.values.nbytes)
        try:
            tensor = torch.from_numpy(array.values.copy())
        except TypeError:  # of numbers that torch does not have
            raise DamagedError(f"it holds an array of {array.values.dtype}") from None
        return tensor.float() if tensor.is_floating_point() and not self.strict else tensor

    def _claim(self, n_bytes: int) -> None:
        self._claimed += n_bytes
        if self._claimed > 2 * self.size + _SHARED:
            raise DamagedError("its tensors claim more values than it has")

    def _refuse(self, key: Any) -> Any:
        words = key if isinstance(key, tuple) else (key,)  # never its repr, which may be endless
        text = " ".join(str(word)[:80] for word in words[:6] if isinstance(word, str | bytes))
        raise UnsafePickleError(f"the outside object {sanitize(text)!r}")

    def persistent(self, key: Any) -> Any:
        """Storage that the pickle names; source code beside a module is passed over."""
        if isinstance(key, tuple) and len(key) > 1 and key[0] == "module":
            return UNKNOWN
        if not isinstance(key, tuple) or not key or key[0] != "storage":
            self._refuse(key)
        dtype, name, _, n_values = key[1:5]
        viewed = len(key) == 6 and isinstance(key[5], tuple)
        _, start, length = key[5] if viewed else (None, 0, n_values)
        if (
            not isinstance(dtype, torch.dtype)
            or not isinstance(name, str | int)
            or any(type(n) is not int or not 0 <= n <= self.size for n in (n_values, start, length))
            or start + length > n_values
        ):
            raise DamagedError("a storage in it claims more values than there are")
        storage = Storage(name, dtype, n_values, start, length)
        first = self.storages.setdefault(safe_key(name), storage)
        if (first.dtype, first.n_values) != (dtype, n_values):
            raise DamagedError("two of its storages are one")
        return storage


class ZipArchive(Archive):
    """What ``torch.save`` has written since 1.6."""

    def _read_content(self) -> Any:
        self._zip = open_zip(self.file)
        names = self._zip.namelist()
        pickles = [name for name in names if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(pickles) != 1:
            raise DamagedError("it is a zip, but not one that torch wrote")
        self._root = pickles[0].removesuffix("data.pkl")
        if self._root + "constants.pkl" in names:
            raise DamagedError("it is a TorchScript program; only the weights of a model are of use")
        if self._root + "byteorder" in names and self._zip.read(self._member("byteorder")) != b"little":
            raise DamagedError("its numbers have the byte order of another kind of machine")
        pickled = io.BytesIO(self._zip.read(self._member("data.pkl")))
        return self.unpickle(self.stream(pickled), self.persistent)

    def _locate(self, key: str | int, n_bytes: int) -> tuple[int, int | None]:
        member = self._member(f"data/{key}")
        if member.file_size < n_bytes:
            raise DamagedError("its tensors claim more values than it has")
        self.file.seek(member.header_offset + 26)  # to the lengths of what lies between header and bytes
        n_name, n_extra = struct.unpack("<HH", self.file.read(4))
        place = member.header_offset + 30 + n_name + n_extra
        return place, member.CRC if member.file_size == n_bytes else None

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
