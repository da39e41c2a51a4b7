"""Install an entry of the table of weights: download, verify (checksums.py), move into place.

The mirrors are tried in turn; a file is only moved into place when its sha256
is right, or, where none is published, when it is complete and the same as
at the first download. Two runs at the same time wait for each other.
"""

from __future__ import annotations

import hashlib
import logging
import os
import urllib.parse
from contextlib import AbstractContextManager
from pathlib import Path

from filelock import FileLock, Timeout

from modules.common.errors import ConfigError, MissingWeightsError
from modules.pretrained.checksums import NAME, record, sha256_of, verify_download
from modules.pretrained.download import DownloadError, discard, fetch
from modules.pretrained.unpack import ArchiveError, unpack
from modules.pretrained.weights import (
    DownloadSource,
    find_weights,
    get_entry,
    missing_message,
    offline_advice,
)

_logger = logging.getLogger(__name__)


def install(key: str, root: Path, url: str | None = None) -> Path:
    """Download the file of ``key`` into ``root`` if missing, from ``url`` if given; returns its place.

    Raises:
        MissingWeightsError: No address gives it; says how to get it by hand.
        OSError: It cannot be written.
    """
    entry = get_entry(key)
    sources = entry.sources if url is None else (_source_at(url, entry.sources),)
    if path := find_weights(key, root):  # before the folder is touched: it may be read-only
        _logger.info("%s is already there", path)
        return path
    if not sources:
        raise MissingWeightsError(missing_message(key, root))
    root.mkdir(parents=True, exist_ok=True)
    with _locked(key, root):
        if path := find_weights(key, root):
            _logger.info("%s is there now", path)
            return path
        for source in sources:
            try:
                return _install_from(source, key, root)
            except (DownloadError, ArchiveError) as error:
                _logger.warning("%s: %s", source.address, error)
    raise MissingWeightsError(
        f"{root / entry.file} could not be downloaded, for the reasons above. {offline_advice(key, root)}"
    )


def _source_at(url: str, sources: tuple[DownloadSource, ...]) -> DownloadSource:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ConfigError(f"--url {url!r} is not an address; it begins with https://")
    archive = next((source.members for source in sources if source.members), {})
    return DownloadSource(url=url, members=archive if parts.path.endswith(".zip") else {})


def _locked(key: str, root: Path) -> AbstractContextManager[object]:
    lock = FileLock(root / f".{key}.lock")
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        _logger.info("another download of %s is running; waiting for it", key)
        return lock.acquire()


def _install_from(source: DownloadSource, key: str, root: Path) -> Path:
    entry = get_entry(key)
    place = root / entry.file
    # one for each address, so that a mirror that fails costs the others nothing
    part = root / f"{key}.{hashlib.sha256(source.url.encode()).hexdigest()[:8]}.part"
    _logger.info("%s: from %s", entry.file, source.address)
    fetch(source.address, part, source.size)
    digest = sha256_of(part)
    verify_download(source, digest, part, root)
    if source.members:
        places = {name: root / file for name, file in source.members.items()}
        try:
            written = unpack(part, places, frozenset(root / file for file in entry.files))
        except ArchiveError:
            discard(part)
            raise
        files = {path.relative_to(root).as_posix(): sha256_of(path) for path in written}
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        with part.open("r+b") as file:
            os.fsync(file.fileno())  # a power cut must not leave a hole under the final name
        os.replace(part, place)
        files = {entry.file: digest}
    record(root, {source.url: digest}, files)
    for leftover in (part, *root.glob(f"{key}.*.part")):
        discard(leftover)
    known = "as published" if source.sha256 else f"none is published, this one is recorded in {root / NAME}"
    _logger.info("%s is there; sha256 %s: %s", place, digest, known)
    return place
