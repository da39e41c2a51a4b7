"""What the names in a model file's pickle stand for: the one list of what is let through.

Nothing here is looked up by import. A name is a tensor function, a type or a
plain container that has a stand-in of ours; or one that is harmless to mention;
or it is refused, when it is of a package where a file that wants to do something
must go; or else it is the class of some trainer, which does not matter.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

_LARGEST_KEY = 1 << 60  # integers beyond can be made to collide, and a table of them takes for ever
_LARGEST_SIZE = 1 << 48  # no tensor has a side as long


class UnsafePickleError(Exception):
    """The file asks for something that weights have no need of; the message is its name."""


class DamagedError(Exception):
    """The file cannot be what it seems to be; the message says why."""


class Unknown:
    """The type of UNKNOWN, which stands for every object of a class that is not known here."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = Unknown()


class Attributes(dict[str, Any]):
    """An ``argparse.Namespace``, as a dict of what it held."""


@dataclass(frozen=True)
class Storage:
    """The ``length`` numbers from ``start`` of a record in the file, or all of them."""

    key: str | int
    dtype: torch.dtype
    n_values: int  # in the whole record
    start: int
    length: int


@dataclass(frozen=True)
class LazyTensor:
    """A tensor that has not been read: how it lies in its record, in values of ``dtype``."""

    storage: Storage
    dtype: torch.dtype
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    n_values: int


class Array:
    """A numpy array that lies in the pickle itself.

    Attributes:
        values: A read-only view of its bytes; None until the pickle has told them.
    """

    values: np.ndarray | None = None


@dataclass(frozen=True)
class StorageType:
    """A class of storages; all that it tells is the dtype."""

    dtype: torch.dtype


@dataclass(frozen=True)
class Call:
    """A function that a pickle may call: ours, in place of the one it names."""

    function: Callable[..., Any]


def resolve(module: str, name: str, strict: bool) -> Any:
    """Return what a name in a pickle stands for: a dtype, StorageType, Call or UNKNOWN.

    Args:
        module: Of Python 3.
        name: In the module.
        strict: Refuse the unknown too.

    Raises:
        UnsafePickleError: It has no business in a file of weights.
    """
    full = f"{module}.{name}"
    if full in _NAMES:
        return _NAMES[full]
    if not _INERT.fullmatch(full) and (strict or module.partition(".")[0] in _GUARDED):
        raise UnsafePickleError(sanitize(full))
    return UNKNOWN


def lazy_tensor(storage: Storage, dtype: torch.dtype, offset: int, size: Any, stride: Any) -> LazyTensor:
    """Note down a tensor.

    Raises:
        DamagedError: It has no possible shape, or reaches beyond its storage, or has more values than it.
    """
    numbers = (offset, *size, *stride) if isinstance(size, tuple) and isinstance(stride, tuple) else ()
    if (
        not 1 <= len(numbers) <= 33
        or len(size) != len(stride)
        or any(type(n) is not int or not 0 <= n < _LARGEST_SIZE for n in numbers)
        or (storage.start and dtype != storage.dtype)
    ):
        raise DamagedError("a tensor in it has no possible shape")
    n_values = math.prod(size)
    if math.prod(n or 1 for n in size) > _LARGEST_SIZE:
        raise DamagedError("a tensor in it has no possible shape")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    room = storage.length * storage.dtype.itemsize // dtype.itemsize
    if n_values and (n_values > room or last >= room):
        raise DamagedError("a tensor in it claims more values than it has")
    return LazyTensor(storage, dtype, storage.start + offset, size, stride, n_values)


def restore(target: Any, state: Any) -> None:
    """Give an array its numbers, as a pickle tells them; what is unknown takes any state.

    Raises:
        DamagedError: The numbers do not fill the shape, or are in the byte order of another machine.
    """
    if isinstance(target, Array):
        _version, shape, dtype, is_fortran, data = state
        target.values = _numpy_array(data, dtype, shape, "F" if is_fortran else "C").values
    elif isinstance(target, np.dtype) and state[1] == ">":
        raise DamagedError("its numbers are in the byte order of another kind of machine")


def pairs(items: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """Return the dict of those pairs whose key is known to hash fast and apart."""
    return {
        key: value
        for key, value in items
        if key is None or isinstance(key, str | bytes) or (isinstance(key, int) and abs(key) < _LARGEST_KEY)
    }


def sanitize(name: str) -> str:
    """Return ``name``, which a stranger chose, as a short piece of one line."""
    text = "".join(letter if letter.isprintable() else "?" for letter in name[:81])
    return text if len(text) < 81 else text[:80] + "..."


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> LazyTensor:
    return lazy_tensor(storage, storage.dtype, offset, size, stride)


def _typed_tensor(
    storage: Any, offset: Any, size: Any, stride: Any, _grad: Any, _hooks: Any, dtype: Any, *_: Any
) -> LazyTensor:
    return lazy_tensor(storage, dtype, offset, size, stride)


def _parameter(tensor: Any, *_: Any) -> Any:
    return tensor


def _with_attributes(function: Any, _type: Any, arguments: Any, _state: Any) -> Any:
    if function not in (Call(_tensor), Call(_typed_tensor), Call(_parameter)):
        raise DamagedError("it holds a tensor that is none")
    return function.function(*arguments)


def _dict(items: Any = ()) -> dict[Any, Any]:
    return pairs(items.items() if isinstance(items, dict) else items)


def _list(values: Any = ()) -> list[Any]:
    if not isinstance(values, list):
        raise DamagedError("it holds a set that is none")
    return values  # as it is: what is in a set would have to be hashed


def _bytes(text: str = "", _encoding: str = "") -> bytes:
    return text.encode("latin-1")  # how bytes are written in the protocol that torch uses


def _numpy_dtype(code: str, *_: Any) -> np.dtype[Any]:
    if not re.fullmatch("[biuf][1248]", code):
        raise DamagedError("it holds a numpy type that is no number")
    return np.dtype(code)


def _numpy_array(data: Any, dtype: Any, shape: Any, order: str) -> Array:
    if not isinstance(dtype, np.dtype) or not isinstance(data, bytes | bytearray):
        raise DamagedError("an array in it holds no numbers")
    if (
        not isinstance(shape, tuple)
        or len(shape) > 32
        or any(type(n) is not int or not 0 <= n < _LARGEST_SIZE for n in shape)
        or math.prod(n or 1 for n in shape) > _LARGEST_SIZE
        or math.prod(shape) * dtype.itemsize != len(data)
    ):
        raise DamagedError("an array in it has no possible shape")
    array = Array()
    flat: np.ndarray = np.frombuffer(data, dtype)
    array.values = flat.reshape(shape, order="F" if order == "F" else "C")
    return array


def _numpy_scalar(dtype: np.dtype[Any], data: bytes) -> Any:
    (value,) = np.frombuffer(data, dtype)
    return value.item()


def _attributes(*_: Any) -> Attributes:
    return Attributes()  # empty, whatever it is made of: that would have to be hashed


def _reconstructed(cls: Any, *_: Any) -> Any:
    return Attributes() if cls == _NAMES["argparse.Namespace"] else UNKNOWN


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
_NAMES: dict[str, Any] = {
    **{f"torch.{name}": dtype for name, dtype in vars(torch).items() if _NUMBER.fullmatch(name)},
    **{f"torch.{name}Storage": StorageType(dtype) for name, dtype in _STORAGES.items()},
    **{f"torch.cuda.{name}Storage": StorageType(dtype) for name, dtype in _STORAGES.items()},
    "torch.storage.UntypedStorage": StorageType(torch.uint8),
    "torch._utils._rebuild_tensor": Call(_tensor),
    "torch._utils._rebuild_tensor_v2": Call(_tensor),
    "torch._utils._rebuild_tensor_v3": Call(_typed_tensor),
    "torch._utils._rebuild_parameter": Call(_parameter),
    "torch._utils._rebuild_parameter_with_state": Call(_parameter),
    "torch._tensor._rebuild_from_type_v2": Call(_with_attributes),
    "torch.Size": Call(tuple),
    "collections.OrderedDict": Call(_dict),
    "collections.Counter": Call(_dict),
    "collections.defaultdict": Call(lambda *_: {}),
    "argparse.Namespace": Call(_attributes),
    "copyreg._reconstructor": Call(_reconstructed),
    "_codecs.encode": Call(_bytes),
    "builtins.bytes": Call(_bytes),
    "builtins.set": Call(_list),
    "builtins.frozenset": Call(_list),
    "numpy.dtype": Call(_numpy_dtype),
    "numpy.core.multiarray.scalar": Call(_numpy_scalar),  # numpy 1
    "numpy._core.multiarray.scalar": Call(_numpy_scalar),  # numpy 2
    "numpy.core.multiarray._reconstruct": Call(lambda *_: Array()),
    "numpy._core.multiarray._reconstruct": Call(lambda *_: Array()),
    "numpy.core.numeric._frombuffer": Call(_numpy_array),  # protocol 5
    "numpy._core.numeric._frombuffer": Call(_numpy_array),
    **{
        f"faiss.swigfaiss{kind}.{name}": Call(_attributes)
        for kind in _FAISS_BUILDS
        for name in _FAISS_INDEXES
    },
}

# where code that does something is found, and the classes there that trainers do leave in their files
_GUARDED = {*sys.stdlib_module_names, "torch", "numpy"}
_INERT = re.compile(
    r"builtins\.(bool|bytearray|complex|dict|float|int|list|object|range|slice|str|tuple)"
    r"|(datetime|decimal|enum|pathlib|typing|uuid)\.\w+|collections\.deque"
    r"|torch\.(cuda\.)?\w*Tensor|torch\.nn\.parameter\.Parameter|torch\.device"
    r"|numpy\.ndarray"
)
