"""The two formats that ``torch.save`` wrote before its zip, in which many published files still are.

The headers of a tar are read here: some releases of the standard library's
tarfile loop indefinitely over crafted ones.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from modules.checkpoint.allowlist import (
    UNKNOWN,
    DamagedError,
    LazyTensor,
    Storage,
    lazy_tensor,
    safe_key,
)
from modules.checkpoint.archive import Archive
from modules.checkpoint.unpickler import PickleStream
from modules.common.errors import sanitize

_MAGIC = 0x1950A86A20F9469CFC6C  # the first object of a legacy file


class LegacyArchive(Archive):
    """What ``torch.save`` wrote up to 1.5: pickles one after another, then the records."""

    def _read_content(self) -> Any:
        stream = self.stream()
        if self.unpickle(stream) != _MAGIC:
            raise DamagedError("it is a pickle, but not one that torch wrote")
        self.unpickle(stream)  # the version of the protocol
        machine = self.unpickle(stream)
        if isinstance(machine, dict) and machine.get("little_endian") is False:
            raise DamagedError("its numbers have the byte order of another kind of machine")
        content = self.unpickle(stream, self.persistent)
        for key in self.unpickle(stream):
            storage = self.storages[safe_key(key)]
            if stream.numbers("<q") != (storage.n_values,):
                raise DamagedError("one of its storages has another length than it claims")
            self.places[key] = stream.skip(storage.n_values * storage.dtype.itemsize)
        return content


class TarArchive(Archive):
    """What ``torch.save`` wrote before 0.1.10: a tar of storages, tensors and a pickle."""

    def _read_content(self) -> Any:
        members = _tar_members(self.file, self.size)
        for name in ("storages", "tensors", "pickle"):
            if name not in members:
                raise DamagedError(f"it is a tar, but not one that torch wrote: it has no {name!r}")
        storages = self._read_storages(self._enter(members["storages"]))
        tensors = self._read_tensors(self._enter(members["tensors"]), storages)

        def inside(key: Any) -> Any:
            if isinstance(key, int | str) and str(key).isdecimal() and int(key) in (tensors | storages):
                return tensors.get(int(key), UNKNOWN)
            return self.persistent(key)

        return self.unpickle(self._enter(members["pickle"]), inside)

    def _enter(self, begin: int) -> PickleStream:
        self.file.seek(begin)
        return self.stream()

    def _read_storages(self, stream: PickleStream) -> dict[int, Storage]:
        storages: dict[int, Storage] = {}
        for _ in range(self.unpickle(stream)):
            key, _, dtype = self.unpickle(stream)
            (n_values,) = stream.numbers("<q")
            storages[safe_key(key)] = Storage(key, dtype, n_values, 0, n_values)
            self.places[key] = stream.skip(n_values * dtype.itemsize)
        for key, root, start, length in self.unpickle(stream):
            whole = storages[safe_key(root)]
            if not 0 <= start <= start + length <= whole.n_values:
                raise DamagedError("a storage in it claims more values than there are")
            storages[safe_key(key)] = Storage(root, whole.dtype, whole.n_values, start, length)
        return storages

    def _read_tensors(self, stream: PickleStream, storages: dict[int, Storage]) -> dict[int, LazyTensor]:
        tensors: dict[int, LazyTensor] = {}
        for _ in range(self.unpickle(stream)):
            key, storage, _ = self.unpickle(stream)
            n_dims, _ = stream.numbers("<ii")
            *sides, offset = stream.numbers(f"<{2 * n_dims + 1}q")
            size, stride = tuple(sides[:n_dims]), tuple(sides[n_dims:])
            tensors[safe_key(key)] = lazy_tensor(storages[safe_key(storage)], offset, size, stride)
        return tensors


def _tar_members(file: BinaryIO, size: int) -> dict[str, int]:
    """Where each member of a tar begins, by its name."""
    members: dict[str, int] = {}
    place = 0
    while len(members) < 16 and place + 512 <= size:
        file.seek(place)
        header = file.read(512)
        if not header.strip(b"\0"):
            break
        name = header[:100].rstrip(b"\0").decode("latin-1").removeprefix("./")
        n_bytes = int(header[124:136].strip(b"\0 ") or b"0", 8)
        place += 512
        if not 0 <= n_bytes <= size - place:
            raise DamagedError(f"its {sanitize(name)} is cut short")
        members[name] = place
        place += -n_bytes % 512 + n_bytes
    return members
