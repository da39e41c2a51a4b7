"""Finished stages of covers, each in a folder whose name tells what made it.

A stage whose inputs and settings are those of before is not repeated. The folder of the cache may be
deleted at any time; the stages of songs that have not been used for longest go when it grows too large.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

FOLDER = Path("results") / ".cover"
MOST_BYTES = 20 * 10**9
_VERSION = 2  # of the stages' content

logger = logging.getLogger(__name__)


class StageCache:
    """Cache in ``folder``, which is made when it is needed."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder

    def stage(
        self, name: str, made_by: Mapping[str, Any], files: Sequence[str], make: Callable[[Path], object]
    ) -> Path:
        """Folder that holds ``files``: one that ``made_by`` made before, or what ``make`` writes now.

        ``made_by`` is plain values that tell everything that the content depends on. ``make`` gets an
        empty folder. A folder that lacks a file is made again.
        """
        text = json.dumps([_VERSION, name, made_by], sort_keys=True)
        path = self.folder / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:20]}"
        if all((path / file).is_file() for file in files):
            logger.info("%s: as before", name)
            os.utime(path)
            return path
        unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        try:
            make(unfinished)
            shutil.rmtree(path, ignore_errors=True)
            os.replace(unfinished, path)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        return path

    def trim(self, most_bytes: int = MOST_BYTES) -> None:
        """Delete the stages that were used longest ago, until what is left is ``most_bytes`` or less."""
        stages = sorted(self.folder.glob("[!.]*"), key=lambda path: -path.stat().st_mtime)
        total = 0
        for path in stages:
            total += sum(file.stat().st_size for file in path.iterdir())
            if total > most_bytes:
                shutil.rmtree(path, ignore_errors=True)
