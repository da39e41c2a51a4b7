"""Writing files so that a crash, a full disk or Ctrl-C never leaves a partial one.

Everything is written beside its destination and moved into place at the end;
the move is atomic, so a reader sees the old file or the new one.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from modules.common.errors import TrainingError

logger = logging.getLogger(__name__)

_TAKEN = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; move it there if the block succeeds.

    The suffix is kept, since encoders choose their format by it. On any error
    the temporary file is removed and ``path`` stays as it was.

    Raises:
        OSError: It cannot be written; names ``path``, not the temporary file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.filename in (None, str(temporary)):  # None: a write to an open file, as of a full disk
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        with suppress(OSError):  # the first error is the one to report
            temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically, with the same line ends on every system."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically; non-ASCII names stay readable."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def exclusive(path: str | Path, advice: str) -> Iterator[None]:
    """Hold the lock on the file ``path``, which is made and stays.

    The system releases it when this process ends, however it ends; its children do not hold it.

    Raises:
        TrainingError: Another process holds it; the message is ``advice``.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        try:
            _lock(file)
        except OSError as error:
            if error.errno in _TAKEN:
                raise TrainingError(advice) from None
            logger.warning("%s: this file system has no locks (%s)", path, error.strerror)
        yield


def _lock(file: IO[bytes]) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
