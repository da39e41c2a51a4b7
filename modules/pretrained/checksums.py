"""Check downloads and installed files by their sha256; checksums.json beside them records it.

Most publishers state none, so the hash of the first download is
recorded: later downloads must match it, and corrupted files are detected.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock

from modules.common.errors import ConfigError, MissingWeightsError
from modules.common.files import write_json
from modules.pretrained.download import DownloadError, discard
from modules.pretrained.weights import DownloadSource, find_weights, get_entry, missing_message

NAME = "checksums.json"


class ChangedWeightsError(ConfigError):
    """A file is not the one that was published or recorded."""


def load_checksums(root: Path) -> dict[str, dict[str, str]]:
    """Checksums in ``root``: "downloads" by published url, "files" by place in it; raises ConfigError."""
    path = root / NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        known = {kind: dict(content[kind]) for kind in ("downloads", "files")}
        if not all(isinstance(text, str) for sums in known.values() for text in sums.values()):
            raise ValueError
        return known
    except FileNotFoundError:
        return {"downloads": {}, "files": {}}
    except (ValueError, TypeError, KeyError):
        raise ConfigError(f"{path} is damaged; delete it, and the checksums are recorded again") from None


def record(root: Path, downloads: Mapping[str, str], files: Mapping[str, str]) -> None:
    """Add to the checksums of ``root``, whatever other processes add at the same time."""
    with FileLock(root / f".{NAME}.lock"):
        known = load_checksums(root)
        known["downloads"].update(downloads)
        known["files"].update(files)
        write_json(root / NAME, known)


def sha256_of(path: Path) -> str:
    """Hash of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def check(key: str, root: Path) -> str:
    """Compare the files of ``key`` with what is published and recorded; returns what was found.

    A file without a published checksum is recorded if it was not. Raises MissingWeightsError,
    or ChangedWeightsError if it is another file.
    """
    path, entry = find_weights(key, root), get_entry(key)
    if path is None:
        raise MissingWeightsError(missing_message(key, root))
    recorded = load_checksums(root)["files"]
    published = {sha: f"as published ({what})" for sha, what in entry.known.items()}
    published |= {source.sha256: "as published" for source in entry.sources if source.sha256}
    for file in (path, *(root / name for name in entry.companions)):
        name, digest = file.relative_to(root).as_posix(), sha256_of(file)
        if recorded.get(name, digest) != digest:
            raise ChangedWeightsError(
                f"{file} has changed since it was recorded (sha256 {digest[:16]}..., not "
                f"{recorded[name][:16]}...). Delete it and download it again; if you put another there "
                f"on purpose, remove its line from {root / NAME}"
            )
        if file == path and digest in published:
            found = published[digest]
        elif name in recorded:
            found = "as recorded"
        elif file == path and published and all(source.sha256 for source in entry.sources):
            raise ChangedWeightsError(
                f"{file} is none of the published files (sha256 {digest[:16]}...): cut short, damaged or "
                "another model. Delete it and download it again, unless you put it there on purpose"
            )
        else:
            found = "recorded now"
        record(root, {}, {name: digest})
    return f"{path} and what is beside it: {found}" if entry.companions else f"{path}: {found}"


def verify_download(source: DownloadSource, digest: str, part: Path, root: Path) -> None:
    """Compare a download with what is published or recorded; deletes one that differs: DownloadError."""
    expected = source.sha256 or load_checksums(root)["downloads"].get(source.url, digest)
    if digest != expected:
        discard(part)
        replaced = "If its publisher has replaced it, remove that line"
        recorded = "" if source.sha256 else f" that {root / NAME} recorded at the first download. {replaced}"
        raise DownloadError(
            f"the file is damaged or a different one, and was deleted: its sha256 is {digest[:16]}..., "
            f"not the {expected[:16]}...{recorded}"
        )
    with part.open("rb") as file:
        zipped = file.read(4) == b"PK\x03\x04"
    if zipped and not zipfile.is_zipfile(part):
        discard(part)
        raise DownloadError("the file ends too early, and is deleted")
