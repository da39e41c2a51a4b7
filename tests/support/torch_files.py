"""Torch's three formats, put together by hand: what torch itself writes no more, or never would."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from modules.checkpoint.unpickler import PickleStream, Unpickler

MAGIC = 0x1950A86A20F9469CFC6C
CONTAINERS = ("zip", "legacy", "tar")


def read_pickle(data: bytes, strict: bool = True, size: int | None = None) -> Any:
    """Content of a pickle in a file of ``size`` bytes; a persistent key k comes as ("outside", k)."""
    stream = PickleStream(io.BytesIO(data), len(data) if size is None else size)
    return Unpickler(stream, lambda key: ("outside", key), strict).load()


def wrap(pickled: bytes, container: str, path: Path) -> Path:
    """Write a file of the kind ``container`` whose content is the pickle given, and no tensor."""
    {"zip": write_zip, "legacy": write_legacy, "tar": write_tar}[container](path, pickled)
    return path


def write_zip(path: Path, pickled: bytes, records: Mapping[str, bytes] | None = None, **options: Any) -> None:
    """Write the zip of torch 1.6 and later; ``options`` go to ZipFile."""
    with zipfile.ZipFile(path, "w", **options) as file:
        file.writestr("archive/data.pkl", pickled)
        file.writestr("archive/byteorder", "little")
        for key, data in (records or {}).items():
            file.writestr(f"archive/data/{key}", data)
        file.writestr("archive/version", "3\n")


def write_legacy(path: Path, pickled: bytes, records: Mapping[str, bytes] | None = None) -> None:
    """Write the stream of torch up to 1.5; each record as ``struct '<q'`` of its length and the numbers."""
    sizes = {"short": 2, "int": 4, "long": 4}
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": sizes}
    start = b"".join(pickle.dumps(value, 2) for value in (MAGIC, 1001, system))
    keys = pickle.dumps(list(records or {}), 2)
    path.write_bytes(start + pickled + keys + b"".join((records or {}).values()))


def write_tar(path: Path, pickled: bytes, storages: bytes = b"", tensors: bytes = b"") -> None:
    """Write the tar of torch before 0.1.10."""
    empty = pickle.dumps(0, 2)
    storages = storages or empty + pickle.dumps([], 2)
    members = {"storages": storages, "tensors": tensors or empty, "pickle": pickled}
    with tarfile.open(path, "w:", format=tarfile.PAX_FORMAT) as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))


def save_tar(content: Any, path: Path) -> Path:
    """Write float32 tensors and plain values as torch did before 0.1.10."""
    found: dict[int, torch.Tensor] = {}

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> str | None:
            if not isinstance(value, torch.Tensor):
                return None
            found.setdefault(100 + len(found), value)
            return str(next(key for key, tensor in found.items() if tensor is value))

    pickled = io.BytesIO()
    Pickler(pickled, 2).dump(content)
    storages = tensors = pickle.dumps(len(found), 2)
    for key, tensor in found.items():
        values = tensor.untyped_storage()
        numbers = bytes(values.tolist())
        storages += pickle.dumps((key + 1000, "cpu", torch.FloatStorage), 2)
        storages += struct.pack("<q", len(numbers) // 4) + numbers
        tensors += pickle.dumps((key, key + 1000, torch.FloatTensor), 2)
        layout = *tensor.shape, *tensor.stride(), tensor.storage_offset()
        tensors += struct.pack(f"<ii{len(layout)}q", tensor.ndim, 0, *layout)
    write_tar(path, pickled.getvalue(), storages + pickle.dumps([], 2), tensors)
    return path


def tensor_pickle(
    size: tuple[int, ...] = (2, 3),
    stride: tuple[int, ...] | None = None,
    offset: int = 0,
    n_values: int = 6,
    storage: type = torch.FloatStorage,
) -> bytes:
    """Return the pickle of ``{"model": {"w": tensor}}``, in record "0", with what it claims of itself."""

    class Place:
        """Goes out as a persistent key."""

    class Claim:
        def __reduce__(self) -> Any:
            steps = tuple(1 for _ in size) if stride is None else stride
            arguments: Any = (Place(), offset, size, steps, False, OrderedDict())
            return torch._utils._rebuild_tensor_v2, arguments

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            return ("storage", storage, "0", "cpu", n_values) if isinstance(value, Place) else None

    file = io.BytesIO()
    Pickler(file, 2).dump({"model": {"w": Claim()}})
    return file.getvalue()
