"""Taking known files out of an untrusted zip archive.

Nothing in the archive decides where a file goes: the caller names the members
it wants and the place of each. An archive that tries more is refused as a whole.
"""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

from modules.common.errors import GlowSVCError
from modules.common.files import replacing
from modules.common.zips import open_zip

RATIO = 20  # of what is unpacked to the archive; weights shrink by a tenth at most
SPARE = 1 << 20  # bytes that may come on top, for small archives
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)


class ArchiveError(GlowSVCError):
    """The archive is damaged, lacks a file, or is not to be trusted."""


def unpack(archive: Path, places: Mapping[str, Path], needed: frozenset[Path]) -> list[Path]:
    """Write the members named in ``places``, from any folder of a zip ``archive``; returns the files written.

    They are moved into place when all are complete, last those in ``needed``; the others may be absent.

    Raises:
        ArchiveError: It is damaged, lacks a file or tries to write elsewhere; nothing is written.
        OSError: It cannot be written.
    """
    try:
        with archive.open("rb") as file, open_zip(file) as content:
            members = _choose(content, places, needed, archive.stat().st_size)
            with ExitStack() as moves:  # all are complete before the first is moved
                for place in sorted(members, key=lambda place: place not in needed):
                    temporary = moves.enter_context(replacing(place))
                    with content.open(members[place]) as source, open(temporary, "wb") as target:
                        shutil.copyfileobj(source, target, 1 << 20)
    except _DAMAGE:
        raise ArchiveError("is a damaged archive") from None
    return list(members)


def _choose(
    content: zipfile.ZipFile, places: Mapping[str, Path], needed: frozenset[Path], size: int
) -> dict[Path, zipfile.ZipInfo]:
    members: dict[Path, zipfile.ZipInfo] = {}
    for member in content.infolist():
        name = PurePosixPath(member.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or ":" in member.filename:
            raise ArchiveError(f"is refused: it holds {member.filename!r}, a place outside its folder")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise ArchiveError(f"is refused: {member.filename!r} in it is a link")
        place = places.get(name.name)
        if place is None or member.is_dir():
            continue
        if place in members:
            raise ArchiveError(f"is refused: it holds {name.name!r} twice")
        members[place] = member
    absent = [name for name, place in places.items() if place in needed and place not in members]
    if absent:
        raise ArchiveError(f"does not hold {' and '.join(absent)}")
    unpacked = sum(member.file_size for member in members.values())
    if unpacked > RATIO * size + SPARE:
        raise ArchiveError(f"is refused: {size} bytes of archive claim to be {unpacked}")
    return members
