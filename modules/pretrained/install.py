"""From a line of the table of weights to files in their place, checked.

The mirrors are tried in turn; a file is only moved into place when its sha256
is right, or, where nobody has published one, when it is whole and the same as
at the first download. Two runs at the same time wait for each other.
"""

from __future__ import annotations

import hashlib
import os
import urllib.parse
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from modules.common.errors import ConfigError, MissingWeightsError
from modules.pretrained.checksums import NAME, Checksums, record, sha256_of
from modules.pretrained.download import DownloadError, Progress, Say, discard, fetch
from modules.pretrained.unpack import ArchiveError, unpack
from modules.pretrained.weights import (
    DownloadSource,
    find_weights,
    get_entry,
    missing_message,
    offline_advice,
)


def install(key: str, root: Path, say: Say, progress: Progress, url: str | None = None) -> Path:
    """Download the file of ``key`` if it is not there, and return its place.

    Args:
        key: Of the table of weights.
        root: The folder of all weights; made if need be.
        say: Is told in a line what happens.
        progress: Shows the bytes that come.
        url: An address to use instead of those in the table.

    Raises:
        MissingWeightsError: No address gives it; says how to get it by hand.
        OSError: It cannot be written.
    """
    entry = get_entry(key)
    sources = entry.sources if url is None else (_source_at(url, entry.sources),)
    if path := find_weights(key, root):  # before the folder is touched: it may be read-only
        say(f"{path} is there already")
        return path
    if not sources:
        raise MissingWeightsError(missing_message(key, root))
    root.mkdir(parents=True, exist_ok=True)
    with _alone(key, root, say):
        if path := find_weights(key, root):
            say(f"{path} is there now")
            return path
        for source in sources:
            try:
                return _install_from(source, key, root, say, progress)
            except (DownloadError, ArchiveError) as error:
                say(f"{source.address}: {error}")
    raise MissingWeightsError(
        f"{root / entry.file} could not be downloaded, for the reasons above. {offline_advice(key, root)}"
    )


def check(key: str, root: Path) -> tuple[bool, str]:
    """Compare the file of ``key`` with what is published and recorded.

    A file that nobody has published a checksum of is recorded if it was not.

    Returns:
        Whether there is nothing wrong with it, and what was found.

    Raises:
        MissingWeightsError: It is not there.
    """
    path, entry = find_weights(key, root), get_entry(key)
    if path is None:
        raise MissingWeightsError(missing_message(key, root))
    recorded = Checksums.load(root).files
    published = {source.sha256: "as published" for source in entry.sources if source.sha256}
    published = {sha: f"as published ({what})" for sha, what in entry.known.items()} | published
    for file in (path, *(root / name for name in entry.companions)):
        name, digest = file.relative_to(root).as_posix(), sha256_of(file)
        if name in recorded and digest != recorded[name]:
            return False, (
                f"{file} has changed since it was recorded (sha256 {digest[:16]}..., not "
                f"{recorded[name][:16]}...). Delete it and download it again; if you put another there "
                f"on purpose, remove its line from {root / NAME}"
            )
        if file == path and digest in published:
            what = published[digest]
        elif name in recorded:
            what = "as recorded"
        elif file == path and published and all(source.sha256 for source in entry.sources):
            return False, (
                f"{file} is none of the published files (sha256 {digest[:16]}...): cut short, damaged or "
                "another model. Delete it and download it again, unless you put it there on purpose"
            )
        else:
            what = "recorded now"
        record(root, {}, {name: digest})
    return True, f"{path}: {what}" if not entry.companions else f"{path} and what is beside it: {what}"


def _source_at(url: str, sources: tuple[DownloadSource, ...]) -> DownloadSource:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ConfigError(f"--url {url!r} is no address; it begins with https://")
    archive = next((source.members for source in sources if source.members), {})
    return DownloadSource(url=url, members=archive if parts.path.endswith(".zip") else {})


@contextmanager
def _alone(key: str, root: Path, say: Say) -> Iterator[None]:
    lock = FileLock(root / f".{key}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"another download of {key} is running; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _install_from(source: DownloadSource, key: str, root: Path, say: Say, progress: Progress) -> Path:
    entry = get_entry(key)
    place = root / entry.file
    # one for each address, so that a mirror that fails costs the others nothing
    part = root / f"{key}.{hashlib.sha256(source.url.encode()).hexdigest()[:8]}.part"
    say(f"{entry.file}: from {source.address}")
    fetch(source.address, part, source.size, say, progress)
    digest = sha256_of(part)
    _verify(source, digest, part, root)
    if source.members:
        places = {name: root / file for name, file in source.members.items()}
        try:
            written = unpack(part, places, frozenset(root / file for file in entry.files))
        except ArchiveError:
            discard(part)
            raise
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        with part.open("r+b") as file:
            os.fsync(file.fileno())  # a power cut must not leave a hole under the final name
        os.replace(part, place)
        written = [place]
    sums = {path: digest if path == place and not source.members else sha256_of(path) for path in written}
    record(root, {source.url: digest}, {path.relative_to(root).as_posix(): sha for path, sha in sums.items()})
    for leftover in root.glob(f"{key}.*.part"):
        discard(leftover)
    discard(part)
    known = "as published" if source.sha256 else f"none is published, this one is recorded in {root / NAME}"
    say(f"{place} is there; sha256 {digest}: {known}")
    return place


def _verify(source: DownloadSource, digest: str, part: Path, root: Path) -> None:
    expected = source.sha256 or Checksums.load(root).downloads.get(source.url, digest)
    if digest != expected:
        discard(part)
        recorded = f" that {root / NAME} recorded at the first download. If its publisher has replaced it, "
        recorded = "" if source.sha256 else f"{recorded}remove that line"
        raise DownloadError(
            f"the file is damaged or another one, and deleted: its sha256 is {digest[:16]}..., "
            f"not the {expected[:16]}...{recorded}"
        )
    with part.open("rb") as file:
        zipped = file.read(4) == b"PK\x03\x04"
    if zipped and not zipfile.is_zipfile(part):
        discard(part)
        raise DownloadError("the file ends too early, and is deleted")
