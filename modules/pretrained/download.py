"""Downloads that survive a bad connection: resumed, retried, and never taken for complete when they are not.

The bytes go to a ``.part`` file; beside it lies what the server said of the
file, so that the rest is only ever added to the same content. ``requests``
does the talking: proxies, redirects and certificates are its own.

Considered and rejected: huggingface_hub resumes and retries, but half of the table
lies elsewhere, and it moves files into a cache of its own layout; pooch
checks sha256 and unpacks, but begins again after every break, knows one address a
file, and takes a web page for the file where no checksum is published.
"""

from __future__ import annotations

import errno
import json
import logging
import re
import shutil
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

import requests
from urllib3.exceptions import ReadTimeoutError

from modules.common.errors import GlowSVCError
from modules.common.files import write_json
from modules.common.progress import progress_bar

TIMEOUT = (10.0, 60.0)  # s to connect; s without a byte
TRIES = 5  # in a row that bring nothing new
CONNECT_TRIES = 2  # in a row without an answer: then there is no connection
PAUSE = 1.0  # s before the second try; doubles with each
BLOCK = 1 << 16  # bytes at a time; what a broken connection can cost
LARGEST = 16 << 30  # bytes of a file whose size nobody states
PROGRESS = 1 << 20  # bytes that make a try worth more tries
_NO_MODEL = re.compile(rb"\s*(<|version https://git-lfs)")  # a web page, or a pointer to a file
_logger = logging.getLogger(__name__)


class DownloadError(GlowSVCError):
    """This address does not give the file; another may."""


class _RetryError(Exception):
    """Something that may go better the next time."""

    def __init__(self, message: str, tries: int = TRIES) -> None:
        super().__init__(message)
        self.tries = tries


@dataclass(frozen=True)
class _Version:
    """What the server said of the file that a .part is the beginning of."""

    url: str
    etag: str | None
    modified: str | None
    total: int | None  # bytes

    @classmethod
    def of(cls, url: str, headers: Mapping[str, str], total: int | None) -> _Version:
        return cls(url, headers.get("ETag"), headers.get("Last-Modified"), total)

    @property
    def validator(self) -> str | None:
        """What If-Range takes: a strong ETag, or a date."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified

    def fits(self, other: _Version) -> bool:
        pairs = zip(astuple(self), astuple(other), strict=True)
        return all(a is None or b is None or a == b for a, b in pairs)


def version_file(part: Path) -> Path:
    """Where what the server said of ``part`` is kept."""
    return part.with_name(f"{part.name}.json")


def discard(part: Path) -> None:
    """Remove ``part`` and what is known of it."""
    part.unlink(missing_ok=True)
    version_file(part).unlink(missing_ok=True)


def fetch(url: str, part: Path, size: int | None = None) -> None:
    """Complete ``part`` from ``url``, continuing where an earlier run of the same file ended.

    Raises:
        DownloadError: The address does not give the file, even after several tries.
        OSError: It cannot be written; above all, the disk is full. What came is kept.
    """
    failures = 0
    while True:
        before = _length(part)
        try:
            return _attempt(url, part, size)
        except _RetryError as error:
            failures = 1 if _length(part) - before >= PROGRESS else failures + 1
            if failures >= error.tries:
                kept = _length(part) if _known(part, url) else 0
                note = f"; the first {_amount(kept)} are kept for the next run" if kept else ""
                raise DownloadError(f"{error}{note}") from None
            pause = PAUSE * 2 ** (failures - 1)
            _logger.warning("%s: %s; trying again in %g s", url, error, pause)
            time.sleep(pause)


def _attempt(url: str, part: Path, size: int | None) -> None:
    known = _known(part, url)
    start = _length(part) if known else 0
    if known and start and start == known.total:
        return  # only the move into place was missing
    headers = {"Accept-Encoding": "identity", "User-Agent": "glow-svc"}  # bytes as they lie there
    if known and start:
        headers |= {"Range": f"bytes={start}-", "If-Range": str(known.validator)}
    answered = False
    try:
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            answered = True
            start, total = _read_answer(response, url, part, start, known)
            if size is not None and total not in (None, size):
                raise DownloadError(f"is {total} bytes long instead of {size}: it is another file")
            total = size if total is None else total
            if total is not None and shutil.disk_usage(part.parent).free < total - start:
                raise OSError(errno.ENOSPC, "No space left on device", str(part))  # now, not after an hour
            limit = LARGEST if total is None else total
            _receive(response, part, start, total, limit)
    except (requests.exceptions.SSLError, requests.exceptions.ProxyError) as error:
        kind = "proxy" if isinstance(error, requests.exceptions.ProxyError) else "certificate or encryption"
        raise DownloadError(f"cannot be reached: the {kind} fails ({_innermost(error)})") from None
    except requests.exceptions.Timeout:  # within the body it is a ConnectionError instead
        raise _RetryError("does not answer", CONNECT_TRIES) from None
    except (requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
        if not answered:
            raise _RetryError(f"cannot be reached ({_innermost(error)})", CONNECT_TRIES) from None
        silent = any(isinstance(arg, ReadTimeoutError) for arg in error.args)
        what = f"sent nothing for {TIMEOUT[1]:g} s" if silent else "the connection broke"
        raise _RetryError(f"{what} after {_amount(_length(part))}") from None
    except requests.exceptions.RequestException as error:
        raise DownloadError(f"cannot be downloaded: {_innermost(error)}") from None
    got = _length(part)
    if got > limit:
        discard(part)
        raise DownloadError(f"sent more than the {limit} bytes of the file; deleted")
    if total is not None and got < total:
        raise _RetryError(f"ended after {got} of {total} bytes")


def _read_answer(
    response: requests.Response, url: str, part: Path, start: int, known: _Version | None
) -> tuple[int, int | None]:
    """The byte that the answer starts at, and how many the file has in all."""
    if url.startswith("https:") and not response.url.startswith("https:"):
        raise DownloadError("leads to an address without encryption")
    status = response.status_code
    if status == 206 and known:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        total = int(found[2]) if found and found[2] != "*" else known.total
        if found and int(found[1]) == start and known.fits(_Version.of(url, response.headers, total)):
            return start, total
        discard(part)
        raise _RetryError("is another file than before")
    if status == 416:
        discard(part)
        raise _RetryError("has nothing after what is here")
    if status in (408, 425, 429) or status >= 500:
        raise _RetryError(f"answers {status} {response.reason}")
    if status != 200:
        raise DownloadError(f"answers {status} {response.reason}")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise DownloadError("sends the file compressed, which was not asked for")
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise DownloadError("gives a web page, not the file")
    length = response.headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() else None
    part.unlink(missing_ok=True)
    write_json(version_file(part), asdict(_Version.of(url, response.headers, total)))
    return 0, total


def _receive(response: requests.Response, part: Path, start: int, total: int | None, limit: int) -> None:
    """Write what comes, up to a block beyond ``limit`` bytes of the file."""
    name = Path(urllib.parse.urlsplit(response.url).path).name
    bar = progress_bar(
        desc=name, total=total, initial=start, unit="B", unit_scale=True, mininterval=0.5, leave=True
    )
    try:
        with bar, open(part, "r+b" if start else "wb") as file:
            file.seek(start)
            for block in response.iter_content(BLOCK):
                if file.tell() == 0 and _NO_MODEL.match(block):
                    raise DownloadError("gives a page of text, not the file")
                file.write(block)
                bar.update(len(block))
                if file.tell() > limit:
                    break
    except requests.exceptions.RequestException:  # an OSError too, but not of this file
        raise
    except OSError as error:
        error.filename = error.filename or str(part)
        raise


def _known(part: Path, url: str) -> _Version | None:
    """Version that ``part`` is the beginning of, if it is from ``url`` and can be continued."""
    try:
        known = _Version(**json.loads(version_file(part).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return known if known.url == url and known.validator else None


def _length(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _amount(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.1f} MB"


def _innermost(error: BaseException) -> str:
    """What lies under the layers of a network error, in a few words."""
    for layer in (getattr(error, "reason", None), *error.args):
        if isinstance(layer, BaseException):
            return _innermost(layer)
    text = str(error).rpartition(": ")[2].strip() or type(error).__name__
    text = text.splitlines()[0]
    return text if text.count("(") == text.count(")") else text.rstrip(")'")
