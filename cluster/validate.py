"""Checks of k-means files and retrieval indexes: of which kind they are, and whether they fit the model."""

from __future__ import annotations

from pathlib import Path

from cluster import BUILD_COMMANDS
from modules.common.errors import CheckpointError, sanitize

_NAMES = {"kmeans": "a k-means file", "retrieval": "a retrieval index"}


def check_kind(path: Path, kind: str) -> None:
    """Refuse a file of the other kind, as told by its first bytes; raises CheckpointError."""
    with path.open("rb") as file:
        head = file.read(512)
    if head[:2] in (b"Ix", b"Iw"):  # of faiss itself
        raise CheckpointError(f"{path} is an index of RVC; make one with: {BUILD_COMMANDS[kind]}")
    found = ""
    if head.startswith(b"PK"):  # what torch writes
        found = "kmeans"
    elif head[8:9] == b"{" or (head[:1] == b"\x80" and b"swig" in head):
        found = "retrieval"
    if found and found != kind:
        advice = "add -fr" if found == "retrieval" else "remove -fr"
        raise CheckpointError(f"{path} is {_NAMES[found]}, not {_NAMES[kind]}; {advice} or name another file")


def check_origin(path: Path, kind: str, made_with: str, encoder: str, found: int, wanted: int) -> None:
    """Refuse a file made with another encoder, or units of another width; raises CheckpointError.

    The -onnx variant of an encoder gives the same units. Published files
    do not name their encoder: ``made_with`` is empty.
    """
    if made_with and made_with.removesuffix("-onnx") != encoder.removesuffix("-onnx"):
        raise CheckpointError(
            f"{path} was made with the encoder {sanitize(made_with)!r}, but the model uses {encoder!r}; "
            f"make it again with: {BUILD_COMMANDS[kind]}"
        )
    if found != wanted:
        raise CheckpointError(
            f"{path} holds units of {found} channels, but the encoder {encoder!r} gives {wanted}; "
            f"make it again with: {BUILD_COMMANDS[kind]}"
        )
