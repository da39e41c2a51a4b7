"""Zip archives of strangers, opened."""

from __future__ import annotations

import zipfile
from typing import BinaryIO

_LARGEST_DIRECTORY = 4_000_000  # bytes of the list of members: 40 000 tensors


def open_zip(file: BinaryIO) -> zipfile.ZipFile:
    """Open a zip if its list of members fits in memory; raises zipfile.BadZipFile.

    zipfile itself reads a list of any length, and makes an object of each entry.
    """
    # asked of zipfile: an archive can be written in which another reader would find another end
    end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    if end is None:
        raise zipfile.BadZipFile("it has no list of members")
    if end[zipfile._ECD_SIZE] > _LARGEST_DIRECTORY:  # type: ignore[attr-defined]
        raise zipfile.BadZipFile("it lists more members than a model has tensors")
    return zipfile.ZipFile(file)
