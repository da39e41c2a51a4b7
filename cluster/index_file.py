"""feature_and_index.pkl as we write it: plain numbers in safetensors, which cannot run code.

The name is the published one; the first bytes tell the content. For each
speaker id i there are ``i.vectors`` (n, D) in the order of their lists,
``i.centroids`` (L, D) and ``i.sizes`` (L,), how many vectors lie in each list,
and ``i.nprobe`` (1,), how many lists to search. Without lists there are only
vectors. faiss builds its index from these, since its own format is not safe to
read from untrusted files.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from cluster.search import Vectors
from modules.common.errors import CheckpointError

_FORMAT = "glow-svc retrieval 1"
_TYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "I64": np.dtype("<i8")}
_ROWS = 64 << 20  # bytes of vectors read at once
_LONGEST_HEADER = 1_000_000  # bytes, for thousands of speakers

Layout = Mapping[str, tuple[str, tuple[int, ...]]]  # name -> type (a key of _TYPES), shape


class FeatureIndex(ABC):
    """A retrieval index, open; the vectors are read speaker by speaker.

    Raises:
        CheckpointError: It is cut short, damaged, another kind of file, or asks for anything but indexes
            and arrays.
    """

    path: Path
    encoder: str  # that made the units; empty if not known
    names: dict[str, int]  # speaker ids by name; empty if not known
    ids: set[int]  # of the speakers in it
    ssl_dim: int  # D, channels of the units

    @abstractmethod
    def load(self, speaker: int) -> Vectors:
        """Vectors of a speaker id; raises CheckpointError if there are none, or they are damaged."""


def open_index(path: Path) -> FeatureIndex:
    """Open an index file, ours or a published one, as its first bytes tell; raises CheckpointError."""
    with path.open("rb") as file:
        head = file.read(9)
    if head[8:9] == b"{":
        return NativeIndex(path)
    from cluster.published_index import PublishedIndex

    return PublishedIndex(path)


class IndexWriter:
    """Writes an index into an empty file, piece by piece: it may be larger than the memory."""

    def __init__(self, file: BinaryIO, layout: Layout, encoder: str, names: Mapping[str, int]) -> None:
        about = {"format": _FORMAT, "speech_encoder": encoder, "speakers": json.dumps(dict(names))}
        header: dict[str, Any] = {"__metadata__": about}
        offset = 0
        for name, (kind, shape) in layout.items():
            end = offset + math.prod(shape) * _TYPES[kind].itemsize
            header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [offset, end]}
            offset = end
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)  # numbers begin on a multiple of their size
        file.write(len(text).to_bytes(8, "little") + text)
        self._file = file
        self._layout = layout
        self._begins = {
            name: 8 + len(text) + entry["data_offsets"][0] for name, entry in header.items() if name in layout
        }

    def put(self, name: str, values: np.ndarray, row: int = 0) -> None:
        """Write ``values`` into the array ``name``, from its row ``row`` on."""
        kind, shape = self._layout[name]
        data = np.ascontiguousarray(values, _TYPES[kind])
        self._file.seek(self._begins[name] + row * math.prod(shape[1:]) * data.itemsize)
        self._file.write(data.view(np.uint8).data)


class NativeIndex(FeatureIndex):
    """An index file as train_index.py writes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            if int.from_bytes(file.read(8), "little") > _LONGEST_HEADER:
                raise self._broken("it lists more speakers than an index has")
        try:
            with self._opened() as file:
                about = file.metadata() or {}
                shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
            names = json.loads(about.get("speakers", "{}"))
        except (ValueError, RecursionError):
            raise self._broken("its header is damaged") from None
        if about.get("format") != _FORMAT:
            raise CheckpointError(f"{path} is not a retrieval index; make one with: python train_index.py")
        self.encoder = about.get("speech_encoder", "")
        numbers = list(names.values()) if isinstance(names, dict) else []
        own = [shapes.get(f"{number}.vectors", ()) for number in numbers]
        if not own or any(type(n) is not int for n in numbers) or any(len(shape) != 2 for shape in own):
            raise self._broken("its list of speakers is damaged")
        if not all(shape[1] for shape in own):
            raise self._broken("its units have no channels")
        if len({shape[1] for shape in own}) > 1:
            raise self._broken("its speakers have units of different widths")
        self.ssl_dim: int = own[0][1]
        self.names: dict[str, int] = names
        self.ids = set(numbers)
        self._shapes = shapes

    def load(self, speaker: int) -> Vectors:  # noqa: D102
        n, dims = self._shapes[f"{speaker}.vectors"]
        if not n:
            raise self._broken(f"it has no units of speaker {speaker}")
        if f"{speaker}.centroids" not in self._shapes:
            return Vectors.flat(np.concatenate(list(self._rows(speaker, np.array([n])))))
        centroids = self._array(f"{speaker}.centroids", "F32", 2)
        sizes = self._array(f"{speaker}.sizes", "I64", 1)
        nprobe = self._array(f"{speaker}.nprobe", "I64", 1)
        agree = centroids.shape == (len(sizes), dims) and len(nprobe) == 1
        if not agree or (sizes < 0).any() or (sizes > n).any() or sizes.sum() != n:
            raise self._broken("its lists and their centroids do not agree")
        return Vectors.in_lists(centroids, sizes, self._rows(speaker, sizes), int(nprobe[0]))

    def _rows(self, speaker: int, sizes: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the vectors in pieces of ``sizes``; a part of the file at a time is in memory."""
        name = f"{speaker}.vectors"
        ends = np.cumsum(sizes)
        most = max(1, _ROWS // (4 * self.ssl_dim))
        at = 0
        while at < len(sizes):
            begin = int(ends[at] - sizes[at])
            after = max(at + 1, int(np.searchsorted(ends, begin + most, "right")))
            rows = self._array(name, "F32", 2, begin, int(ends[after - 1]))
            yield from np.split(rows, (ends[at : after - 1] - begin).tolist())
            at = after

    def _array(
        self, name: str, kind: str, n_dims: int, begin: int | None = None, end: int | None = None
    ) -> np.ndarray:
        """An array, or its rows from ``begin`` to ``end`` of it."""
        with self._opened() as file:  # again for each piece, so that pages already read leave the memory
            part = file.get_slice(name)
            if part.get_dtype() != kind or len(part.get_shape()) != n_dims:
                raise self._broken(f"its {name} is of another kind")
            values = part[slice(begin, end)]
        if kind == "F32" and not np.isfinite(values).all():
            raise self._broken("it holds NaN or infinite values")
        return values

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, framework="np") as file:
                yield file
        except SafetensorError:
            raise self._broken("it is damaged, cut short or lacks a part") from None

    def _broken(self, reason: str) -> CheckpointError:
        return CheckpointError(
            f"{self.path} cannot be read: {reason}. Make it again with: python train_index.py"
        )
