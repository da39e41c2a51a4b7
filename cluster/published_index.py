"""The feature_and_index.pkl of the published project, read without running what is in it.

It is the pickle of a dict from speaker ids to faiss indexes, and each index is
the bytes that faiss writes. The pickle goes through modules/checkpoint/unpickler.py, which
knows no more names than faiss and numpy need. The bytes are parsed here, since
faiss itself trusts the sizes in them. The published project
writes two kinds of index, of which only the vectors and the lists count.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from cluster.index_file import FeatureIndex
from cluster.search import Vectors
from modules.common.errors import CheckpointError

_NPROBE = 16  # lists searched at least: the published setting, 1, misses half of the neighbours
_WIDEST = 1 << 16  # channels of a unit
_FLAT = (b"IxF2", b"IxFI", b"IxFl")
_L2 = 1


class _InvalidIndexError(Exception):
    """The bytes are not those of an index; the message says why."""


@dataclass(frozen=True)
class _ParsedIndex:
    """An index as it was written: vectors (n, D) in lists; one list and no centroids if it is flat."""

    centroids: np.ndarray | None  # (L, D)
    sizes: np.ndarray  # (L,), how many vectors lie in each list
    data: (
        memoryview | np.ndarray
    )  # of each list the vectors, and 8 bytes each for their numbers in the recordings
    nprobe: int
    ssl_dim: int

    def lists(self) -> Iterator[np.ndarray]:
        """Yield the vectors (n, D) of each list."""
        at = 0
        for size in map(int, self.sizes):
            yield np.frombuffer(self.data, "<f4", size * self.ssl_dim, at).reshape(size, self.ssl_dim)
            at += size * (4 * self.ssl_dim + 8)


class PublishedIndex(FeatureIndex):
    """A published index file, which names neither its encoder nor its speakers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.encoder = ""
        self.names = {}
        from modules.checkpoint.allowlist import Array

        content = _read_pickle(path)
        if not isinstance(content, dict) or not content:
            raise CheckpointError(f"{path} is not an index of features by speaker id")
        self._indexes: dict[int, _ParsedIndex] = {}
        for speaker, index in content.items():
            data: Any = index.get("this") if isinstance(index, dict) else None
            values = data.values if isinstance(data, Array) else data
            if not isinstance(speaker, int) or not isinstance(values, bytes | np.ndarray):
                raise CheckpointError(f"{path} is not an index of features by speaker id")
            try:
                self._indexes[speaker] = _parse(values)
            except (_InvalidIndexError, ValueError, TypeError) as error:
                raise CheckpointError(f"{path} cannot be read: speaker {speaker}: {error}") from None
        self.ids = set(self._indexes)
        widths = {index.ssl_dim for index in self._indexes.values()}
        self.ssl_dim = widths.pop()
        if widths:
            raise CheckpointError(f"{path} cannot be read: its speakers have units of different widths")

    def load(self, speaker: int) -> Vectors:  # noqa: D102
        found = self._indexes[speaker]
        if not found.sizes.any():
            raise CheckpointError(f"{self.path} has no units of speaker {speaker}")
        arrays = chain(found.lists(), [] if found.centroids is None else [found.centroids])
        if not all(np.isfinite(array).all() for array in arrays):
            raise CheckpointError(f"{self.path} cannot be read: it holds NaN or infinite values")
        if found.centroids is None:
            return Vectors.flat(next(found.lists()))
        return Vectors.in_lists(found.centroids, found.sizes, found.lists(), max(found.nprobe, _NPROBE))


def _read_pickle(path: Path) -> Any:
    """Content of a pickle, with indexes as dicts of what faiss wrote."""
    from modules.checkpoint.allowlist import DamagedError
    from modules.checkpoint.formats import as_checkpoint_error
    from modules.checkpoint.unpickler import PickleStream, Unpickler

    def outside(key: Any) -> Any:
        raise DamagedError("it refers to what lies outside of it")

    with as_checkpoint_error(path, "an index has"), path.open("rb") as file:
        return Unpickler(PickleStream(file, path.stat().st_size, arrays=True), outside, strict=True).load()


class _ByteReader:
    """Bytes, read one piece after the other."""

    def __init__(self, data: Any) -> None:
        self._data = memoryview(data).cast("B")
        self._at = 0

    def take(self, n: int) -> memoryview:
        if not 0 <= n <= len(self._data) - self._at:
            raise _InvalidIndexError("its index is cut short, or claims more values than it has")
        self._at += n
        return self._data[self._at - n : self._at]

    def number(self, layout: str) -> Any:
        (value,) = struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout)))
        return value

    def array(self, dtype: str, n: int) -> np.ndarray:
        return np.frombuffer(self.take(n * np.dtype(dtype).itemsize), dtype)


def _parse(data: bytes | np.ndarray) -> _ParsedIndex:
    """Parse an index as faiss writes it; raises _InvalidIndexError."""
    file = _ByteReader(data)
    kind = bytes(file.take(4))
    if kind in _FLAT:
        vectors = _flat(file)
        return _ParsedIndex(None, np.array([len(vectors)]), vectors, 1, vectors.shape[1])
    if kind != b"IwFl":
        raise _InvalidIndexError(
            f"an index of the kind {kind!r} is not read; make it again with train_index.py"
        )
    dims, _ = _header(file)
    n_lists, nprobe = file.number("Q"), file.number("Q")
    if bytes(file.take(4)) not in _FLAT:
        raise _InvalidIndexError("its lists have no plain centroids")
    centroids = _flat(file)
    if centroids.shape != (n_lists, dims):
        raise _InvalidIndexError("its lists and their centroids do not agree")
    if file.number("B"):
        raise _InvalidIndexError("it has a map of its vectors, which train_index.py never writes")
    file.take(8 * file.number("Q"))  # that map, empty
    sizes = _list_sizes(file, dims, n_lists)
    n_bytes = sum(map(int, sizes)) * (4 * dims + 8)
    return _ParsedIndex(centroids, sizes, file.take(n_bytes), nprobe, dims)


def _header(file: _ByteReader) -> tuple[int, int]:
    """D and the number of vectors, from the header of every index."""
    dims, n, _, _, _, metric = (file.number(layout) for layout in ("i", "q", "q", "q", "?", "i"))
    if not 0 < dims <= _WIDEST or n < 0:
        raise _InvalidIndexError("its index is damaged")
    if metric != _L2:
        raise _InvalidIndexError("it does not measure Euclidean distance")
    return dims, n


def _flat(file: _ByteReader) -> np.ndarray:
    """Vectors (n, D) of an index without lists."""
    dims, n = _header(file)
    n_values = file.number("Q")
    if n_values != n * dims:
        raise _InvalidIndexError("its index is damaged")
    return file.array("<f4", n_values).reshape(n, dims)


def _list_sizes(file: _ByteReader, dims: int, n_lists: int) -> np.ndarray:
    if bytes(file.take(4)) != b"ilar":
        raise _InvalidIndexError("its vectors are not in it")
    if (file.number("Q"), file.number("Q")) != (n_lists, 4 * dims):
        raise _InvalidIndexError("its lists and their centroids do not agree")
    layout = bytes(file.take(4))
    counts = file.array("<u8", file.number("Q"))
    if layout == b"full" and len(counts) == n_lists:
        return counts
    if layout == b"sprs" and len(counts) % 2 == 0 and (counts[::2] < n_lists).all():
        sizes = np.zeros(n_lists, np.uint64)  # n_lists centroids have been read, so the number is true
        sizes[counts[::2]] = counts[1::2]
        return sizes
    raise _InvalidIndexError("its index is damaged")
