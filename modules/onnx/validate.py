"""Checks of an untrusted ONNX file before onnxruntime loads it.

A graph may keep its numbers in other files, and names them by path. No published
one does, so a file that asks for another is refused, wherever that may lie.
"""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError, Message

from modules.checkpoint.identify import identify_bytes
from modules.common.errors import CheckpointError, sanitize

_MOST_FIELDS = 300_000  # a HuBERT of 24 layers has 60 000
_MOST_VALUES = 1 << 24  # of a constant that is written as its shape: 64 MB
_FILLING = {"ConstantOfShape", "Expand", "Tile", "Range", "Resize", "OneHot", "RandomNormal", "RandomUniform"}


def check_file(path: Path) -> None:
    """Make sure that ``path`` is an ONNX file that needs no other file; raises CheckpointError.

    Nor may it hold what could run forever or fill the memory: functions, loops, constants that are
    written as their shape alone. Nothing of it is run. Takes, for a moment, memory of twice its size.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist")
    try:
        if _has_too_many_fields(path):
            raise CheckpointError(f"{path} is refused: it has more parts than a graph, or is damaged")
        model = onnx.load_model(path, format="protobuf", load_external_data=False)
    except DecodeError:
        model = onnx.ModelProto()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from None
    if not model.graph.node:
        raise CheckpointError(f"{path} is {_guess(path)}")
    if model.functions:
        raise CheckpointError(f"{path} is refused: it holds functions; get one without (export it again)")
    nodes = []
    constants: dict[str, float] = {}  # products of small lists of numbers, by name: what may be a shape
    for part in _parts(model):
        if isinstance(part, onnx.TensorProto):
            _check_place(part, path)
            constants[part.name] = max(_product(part), constants.get(part.name, 0))
        elif isinstance(part, onnx.NodeProto):
            nodes.append(part)
            for attribute in part.attribute if part.op_type == "Constant" else ():
                value = max(_product(attribute.t), math.prod(attribute.ints), attribute.i)
                constants[part.output[0]] = max(value, constants.get(part.output[0], 0))
    for node in nodes:
        if node.op_type != "If" and any(a.HasField("g") or a.graphs for a in node.attribute):
            raise CheckpointError(f"{path} is refused: {sanitize(node.op_type)} in it may run forever")
        sizes = [
            *(constants.get(name, 0) for name in node.input),
            *(math.prod(a.ints) for a in node.attribute),
        ]
        if node.op_type in _FILLING and max(sizes, default=0) > _MOST_VALUES:
            raise CheckpointError(f"{path} is refused: its {node.op_type} makes too large a constant")


def _check_place(tensor: onnx.TensorProto, path: Path) -> None:
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        places = {entry.key: entry.value for entry in tensor.external_data}
        raise CheckpointError(
            f"{path} is refused: it wants to read {sanitize(tensor.name)!r} from another file, "
            f"{sanitize(places.get('location', 'unnamed'))!r}; get one that is a single file"
        )


def _product(tensor: onnx.TensorProto) -> float:
    """Product of the whole numbers of a short list; 0 of another tensor."""
    if tensor.data_type not in (onnx.TensorProto.INT64, onnx.TensorProto.INT32) or sum(tensor.dims) > 16:
        return 0
    width = 8 if tensor.data_type == onnx.TensorProto.INT64 else 4
    raw = tensor.raw_data[: 16 * width]
    values = [int.from_bytes(raw[i : i + width], "little", signed=True) for i in range(0, len(raw), width)]
    return math.prod(values or [*tensor.int64_data[:16], *tensor.int32_data[:16]] or [0])


def _has_too_many_fields(path: Path) -> bool:
    """Whether parsing would make more objects than a graph needs: one takes many times its bytes."""
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return not _fields_fit(data, _MOST_FIELDS + len(data) // 1000)


def _fields_fit(data: mmap.mmap, left: int) -> bool:
    """Walk through the fields of a message and of all in it, up to ``left`` of them."""
    pending = [(0, len(data), onnx.ModelProto.DESCRIPTOR)]
    while pending:
        at, end, kind = pending.pop()
        while at < end:
            left -= 1
            tag, at = _varint(data, at)
            wire = tag & 7
            if left < 0 or wire not in (0, 1, 2, 5):
                return left >= 0 and kind is onnx.ModelProto.DESCRIPTOR  # no ONNX file at all: told below
            length, at = _varint(data, at) if wire in (0, 2) else ({1: 8, 5: 4}[wire], at)
            if wire == 2 and length:
                field = kind.fields_by_number.get(tag >> 3)
                if field is not None and field.message_type is not None:
                    pending.append((at, min(at + length, end), field.message_type))
            at += length if wire else 0
    return True


def _varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and the place after it."""
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            break
    return value, at


def _parts(message: Any) -> Iterator[Message]:
    """Every message in ``message``, at any depth: weights, nodes, what branches use."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for part in [value] if isinstance(value, Message) else value:
            yield part
            if not isinstance(part, onnx.TensorProto):
                yield from _parts(part)


def _guess(path: Path) -> str:
    """What a file without a graph seems to be."""
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith((b"PK", b"\x80")) or head[257:262] == b"ustar":
        return "a PyTorch checkpoint, not an ONNX file"
    kind = identify_bytes(head)
    known = kind not in (None, "an ONNX file")
    return f"not an ONNX file but {kind}" if known else "not an ONNX file, or a damaged one"
