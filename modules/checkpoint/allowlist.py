"""What the names in a model file's pickle stand for: the one list of what is allowed.

Nothing is imported by name. A name is a tensor function, a type or a plain
container, each with a stand-in here; or it is harmless to mention; or it is
refused, since it lies in a package where code that does something is found; or
else it is the class of some trainer, which does not matter.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from modules.common.errors import sanitize

_LARGEST_KEY = 1 << 60  # integers beyond can be made to collide, and a dict of those takes hours
_LARGEST_SIZE = 1 << 48  # no side of a tensor is as long
_LONGEST_NAME = 200  # letters of a class with its module


class UnsafePickleError(Exception):
    """The file asks for something that weights have no need of; the message is its name."""


class DamagedError(Exception):
    """The file is not what it claims to be; the message says why."""


class Unknown:
    """The type of UNKNOWN, which stands for every object of an unknown class: using it has no effect."""

    def __call__(self, *_: Any) -> Unknown:  # noqa: D102
        return self

    append = extend = update = __call__


UNKNOWN = Unknown()


class Attributes(dict[str, Any]):
    """An ``argparse.Namespace``, as a dict of its attributes."""


@dataclass
class Array:
    """A numpy array that lies in the pickle itself."""

    values: np.ndarray | None = None  # a view of its bytes; None until the pickle has given them


@dataclass(frozen=True)
class Storage:
    """The ``length`` numbers from ``start`` of a record in the file, which has ``n_values``."""

    key: str | int
    dtype: torch.dtype
    n_values: int
    start: int
    length: int


@dataclass(frozen=True)
class LazyTensor:
    """A tensor that has not been read: its place in a record, in values of ``dtype``."""

    storage: Storage
    dtype: torch.dtype
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    n_values: int


def resolve(module: str, name: str, strict: bool) -> Any:
    """What a name in a pickle stands for: a dtype, a function or UNKNOWN.

    Raises:
        UnsafePickleError: Code that does something is found there.
        DamagedError: No class has such a name.
    """
    if len(module) + len(name) > _LONGEST_NAME:
        raise DamagedError("it names a class of more than 200 letters")
    full = f"{module}.{name}"
    if full in _NAMES:
        return _NAMES[full]
    if not _INERT.fullmatch(full) and (strict or module.partition(".")[0] in _GUARDED):
        raise UnsafePickleError(sanitize(full))
    return UNKNOWN


def restore(target: Any, state: Any) -> None:
    """Set the state of an object that a pickle has made; raises DamagedError.

    Only arrays and namespaces have any.
    """
    if isinstance(target, Array):
        _version, shape, dtype, is_fortran, data = state
        target.values = _numpy_array(data, dtype, shape, "F" if is_fortran else "C").values
    elif isinstance(target, Attributes) and isinstance(state, dict):
        target.update(state)
    elif isinstance(target, np.dtype) and state[1] == ">":
        raise DamagedError("its numbers have the byte order of another kind of machine")


def safe_items(items: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """The pairs whose key is known to hash fast and without collisions."""
    return {key: value for key, value in items if _is_safe(key)}


def safe_key(key: Any) -> Any:
    """``key`` of a record or tensor, if it is known to hash fast; raises DamagedError."""
    if not _is_safe(key):
        raise DamagedError("a storage in it has no possible name")
    return key


def _is_safe(key: Any) -> bool:
    plain = key is None or isinstance(key, str | bytes)
    return plain or (isinstance(key, int) and abs(key) < _LARGEST_KEY)


def lazy_tensor(storage: Any, offset: Any, size: Any, stride: Any, *others: Any) -> LazyTensor:
    """Tensor in a storage, not read, from the arguments of torch's own functions; raises DamagedError."""
    dtype = next((other for other in others if isinstance(other, torch.dtype)), storage.dtype)
    n_values = _count(size)
    if (
        not isinstance(stride, tuple)
        or len(stride) != len(size)
        or not _are_sizes(offset, *stride)
        or (storage.start and dtype != storage.dtype)
    ):
        raise DamagedError("a tensor in it has no possible shape")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    room = storage.length * storage.dtype.itemsize // dtype.itemsize
    if n_values and (n_values > room or last >= room):
        raise DamagedError("a tensor in it claims more values than it has")
    return LazyTensor(storage, dtype, storage.start + offset, size, stride, n_values)


def _are_sizes(*numbers: Any) -> bool:
    return all(type(n) is int and 0 <= n < _LARGEST_SIZE for n in numbers)


def _count(size: Any) -> int:
    """Number of values in a shape; raises DamagedError if no tensor can have it."""
    if (
        not isinstance(size, tuple)
        or len(size) > 32
        or not _are_sizes(*size)
        or math.prod(n or 1 for n in size) > _LARGEST_SIZE
    ):
        raise DamagedError("a tensor or an array in it has no possible shape")
    return math.prod(size)


def _parameter(tensor: Any, *_: Any) -> Any:
    return tensor


def _with_attributes(function: Any, _type: Any, arguments: Any, _state: Any) -> Any:
    if function not in (lazy_tensor, _parameter) or not isinstance(arguments, tuple):
        raise DamagedError("a tensor in it is made by another function")
    return function(*arguments)


def _size(values: Any = ()) -> tuple[Any, ...]:
    if not isinstance(values, list | tuple):  # of a text each letter would become an object
        raise DamagedError("a shape in it is not made of numbers")
    return tuple(values)


def _dict(items: Any = ()) -> dict[Any, Any]:
    return safe_items(items.items() if isinstance(items, dict) else items)


def _list(values: Any = ()) -> list[Any]:
    if not isinstance(values, list):
        raise DamagedError("a set in it is not made of a list")
    return values  # as it is: what is in a set would have to be hashed


def _bytes(text: str = "", _encoding: str = "") -> bytes:
    return text.encode("latin-1")  # how bytes are written in the protocol that torch uses


def _numpy_dtype(code: str, *_: Any) -> np.dtype[Any]:
    if not re.fullmatch("[biuf][1248]", code):
        raise DamagedError("it holds a numpy type that is not a number")
    return np.dtype(code)


def _numpy_array(data: Any, dtype: Any, shape: Any, order: str) -> Array:
    if not isinstance(dtype, np.dtype) or not isinstance(data, bytes | bytearray):
        raise DamagedError("an array in it holds no numbers")
    if _count(shape) * dtype.itemsize != len(data):
        raise DamagedError("an array in it has no possible shape")
    flat: np.ndarray = np.frombuffer(data, dtype)
    return Array(flat.reshape(shape, order="F" if order == "F" else "C"))


def _numpy_scalar(dtype: Any, data: bytes) -> Any:
    if not isinstance(dtype, np.dtype):  # numpy would build one of a text
        raise DamagedError("a number in it has no type")
    (value,) = np.frombuffer(data, dtype)
    return value.item()


def _attributes(*_: Any) -> Attributes:
    return Attributes()  # empty, whatever it is made of: that would have to be hashed


def _reconstructed(cls: Any, *_: Any) -> Any:
    return Attributes() if cls is _attributes else UNKNOWN


_STORAGES = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "ComplexFloat": torch.complex64,
    "ComplexDouble": torch.complex128,
}
# an index of faiss is a dict with the bytes it was written as: cluster/published_index.py reads those
_FAISS_BUILDS = ("", "_avx2", "_avx512", "_avx512_spr", "_sve")
_FAISS_INDEXES = ("IndexFlat", "IndexFlatL2", "IndexIVFFlat")
_NUMBER = re.compile(r"bool|u?int(8|16|32|64)|b?float(16|32|64)|float8_\w+|complex(64|128)")
_NUMPY_CORES = ("core", "_core")  # of numpy 1 and 2
_NAMES: dict[str, Any] = {
    **{f"torch.{name}": dtype for name, dtype in vars(torch).items() if _NUMBER.fullmatch(name)},
    **{f"torch.{name}Storage": dtype for name, dtype in _STORAGES.items()},
    **{f"torch.cuda.{name}Storage": dtype for name, dtype in _STORAGES.items()},
    "torch.storage.UntypedStorage": torch.uint8,
    "torch._utils._rebuild_tensor": lazy_tensor,
    "torch._utils._rebuild_tensor_v2": lazy_tensor,
    "torch._utils._rebuild_tensor_v3": lazy_tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _with_attributes,
    "torch.Size": _size,
    "collections.OrderedDict": _dict,
    "collections.Counter": _dict,
    "collections.defaultdict": lambda *_: {},
    "argparse.Namespace": _attributes,
    "copyreg._reconstructor": _reconstructed,
    "_codecs.encode": _bytes,
    "builtins.bytes": _bytes,
    "builtins.set": _list,
    "builtins.frozenset": _list,
    "numpy.dtype": _numpy_dtype,
    **{f"numpy.{core}.multiarray.scalar": _numpy_scalar for core in _NUMPY_CORES},
    **{f"numpy.{core}.multiarray._reconstruct": lambda *_: Array() for core in _NUMPY_CORES},
    **{f"numpy.{core}.numeric._frombuffer": _numpy_array for core in _NUMPY_CORES},  # protocol 5
    **{f"faiss.swigfaiss{kind}.{name}": _attributes for kind in _FAISS_BUILDS for name in _FAISS_INDEXES},
}

# where code that does something is found, and the classes there that trainers do leave in their files
_GUARDED = {*sys.stdlib_module_names, "torch", "numpy"}
_INERT = re.compile(
    r"builtins\.(bool|bytearray|complex|dict|float|int|list|object|range|slice|str|tuple)"
    r"|(datetime|decimal|enum|pathlib|typing|uuid)\.\w+|collections\.deque"
    r"|torch\.(cuda\.)?\w*Tensor|torch\.nn\.parameter\.Parameter|torch\.device"
    r"|numpy\.ndarray"
)
