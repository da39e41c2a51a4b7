"""The two formats that ``torch.save`` wrote before its zip, in which many published files still are.

The headers of a tar are read here: some releases of the standard library take
for ever over crafted ones.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from modules.checkpoint.allowlist import (
    UNKNOWN,
    DamagedError,
    LazyTensor,
    Storage,
    UnsafePickleError,
    lazy_tensor,
    sanitize,
)
from modules.checkpoint.archive import Archive, name_of
from modules.checkpoint.unpickler import PickleStream, unpickle

_MAGIC = 0x1950A86A20F9469CFC6C  # the first object of a legacy file


class LegacyArchive(Archive):
    """What ``torch.save`` wrote up to 1.5: pickles one after another, then the records."""

    def _open(self) -> None:
        stream = PickleStream(self._file, self.size, self._text)
        if unpickle(stream, _nothing_outside, self._strict) != _MAGIC:
            raise DamagedError("it is a pickle, but not one that torch wrote")
        unpickle(stream, _nothing_outside, self._strict)  # the version of the protocol
        machine = unpickle(stream, _nothing_outside, self._strict)
        if isinstance(machine, dict) and machine.get("little_endian") is False:
            raise DamagedError("its numbers are in the byte order of another kind of machine")
        self.content = unpickle(stream, self._persistent, self._strict)
        self._places: dict[str | int, int] = {}
        for key in unpickle(stream, _nothing_outside, self._strict):
            self._places[key] = _pass_record(stream, self._declared[key])

    def _read(self, storage: Storage, into: memoryview) -> None:
        if storage.key not in self._places:
            raise DamagedError("it is cut short")
        _read_at(self._file, self._places[storage.key], into)


class TarArchive(Archive):
    """What ``torch.save`` wrote before 0.1.10: a tar of storages, tensors and a pickle."""

    def _open(self) -> None:
        members = _tar_members(self._file, self.size)
        missing = {"storages", "tensors", "pickle"} - members.keys()
        if missing:
            raise DamagedError(f"it is a tar, but not one that torch wrote: it has no {sorted(missing)[0]!r}")
        self._places: dict[int, int] = {}
        storages: dict[int, Storage] = {}
        stream = self._enter(members["storages"])
        for _ in range(unpickle(stream, _nothing_outside, self._strict)):
            key, _, kind = unpickle(stream, _nothing_outside, self._strict)
            (n_values,) = stream.numbers("<q")
            storages[key] = Storage(key, kind.dtype, n_values, 0, n_values)
            self._places[key] = stream.skip(n_values * kind.dtype.itemsize)
        for key, root, start, length in unpickle(stream, _nothing_outside, self._strict):
            whole = storages[root]
            if not 0 <= start <= start + length <= whole.n_values:
                raise DamagedError("a storage in it claims more values than there are")
            storages[key] = Storage(root, whole.dtype, whole.n_values, start, length)

        tensors: dict[int, LazyTensor] = {}
        stream = self._enter(members["tensors"])
        for _ in range(unpickle(stream, _nothing_outside, self._strict)):
            key, storage, _ = unpickle(stream, _nothing_outside, self._strict)
            n_dims, _ = stream.numbers("<ii")
            numbers = stream.numbers(f"<{2 * n_dims + 1}q")
            tensors[key] = lazy_tensor(
                storages[storage],
                storages[storage].dtype,
                numbers[-1],
                numbers[:n_dims],
                numbers[n_dims : 2 * n_dims],
            )

        def inside(key: Any) -> Any:
            if isinstance(key, int | str) and str(key).isdecimal() and int(key) in (tensors | storages):
                return tensors.get(int(key), UNKNOWN)
            return self._persistent(key)

        self.content = unpickle(self._enter(members["pickle"]), inside, self._strict)

    def _enter(self, begin: int) -> PickleStream:
        self._file.seek(begin)
        return PickleStream(self._file, self.size, self._text)

    def _read(self, storage: Storage, into: memoryview) -> None:
        _read_at(self._file, self._places[int(storage.key)], into)


def _nothing_outside(key: Any) -> Any:
    raise UnsafePickleError(f"the outside object {name_of(key)!r}")


def _pass_record(stream: PickleStream, storage: Storage) -> int:
    (n_values,) = stream.numbers("<q")
    if n_values != storage.n_values:
        raise DamagedError("one of its storages has another length than it claims")
    return stream.skip(n_values * storage.dtype.itemsize)


def _read_at(file: BinaryIO, place: int, into: memoryview) -> None:
    file.seek(place)
    if file.readinto(into) != len(into):  # type: ignore[attr-defined]  # of every file opened in binary
        raise DamagedError("it is cut short")


def _tar_members(file: BinaryIO, size: int) -> dict[str, int]:
    """Return where each member of a tar begins."""
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
