"""Checks of an untrusted ONNX file before onnxruntime loads it.

A graph may keep its numbers in other files, and names them by path. No published
one does, so a file that asks for another is refused, wherever that may lie.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError, Message

from modules.checkpoint.identify import identify_bytes
from modules.common.errors import CheckpointError


def check_file(path: Path) -> None:
    """Make sure that ``path`` is an ONNX file that needs no other file; raises CheckpointError.

    Nothing of it is run. Takes, for a moment, memory of twice its size.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist")
    try:
        model = onnx.load_model(path, format="protobuf", load_external_data=False)
    except DecodeError:
        model = onnx.ModelProto()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from None
    if not model.graph.node:
        raise CheckpointError(f"{path} is {_guess(path)}")
    for tensor in _tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            places = {entry.key: entry.value for entry in tensor.external_data}
            raise CheckpointError(
                f"{path} is refused: it wants to read {tensor.name!r} from another file, "
                f"{places.get('location', 'unnamed')!r}; get one that is a single file"
            )


def first_line(error: Exception) -> str:
    """Message of onnxruntime, without its code and the file's name."""
    text = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    return re.sub(r"^Load model from .* failed:\s*", "", text)


def _tensors(message: Any) -> Iterator[onnx.TensorProto]:
    """Every tensor in ``message``, at any depth: weights, constants, what branches use."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for part in [value] if isinstance(value, Message) else value:
            if isinstance(part, onnx.TensorProto):
                yield part
            else:
                yield from _tensors(part)


def _guess(path: Path) -> str:
    """What a file without a graph seems to be."""
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith((b"PK", b"\x80")) or head[257:262] == b"ustar":
        return "a PyTorch checkpoint, not an ONNX file"
    kind = identify_bytes(head)
    known = kind not in (None, "an ONNX file")
    return f"not an ONNX file but {kind}" if known else "not an ONNX file, or a damaged one"
