"""Where a data set's recordings lie: one folder per singer, sound files directly in it."""

from __future__ import annotations

import logging
from pathlib import Path

from modules.audio import find_audio
from modules.errors import AudioError

# bytes of a clip's name: file systems allow 255, and the unfinished file of its longest
# feature (modules/features.py, modules/files.py) is called by it and 31 more
LONGEST_NAME = 220

logger = logging.getLogger(__name__)

# bytes: a file system allows 255, and the longest feature, while it is written, is called by
# the name of its clip and 31 more (modules/features.py, modules/files.py)
LONGEST_NAME = 220
# common, but in no format that libsndfile reads: named instead of silently passed over
UNREADABLE_SUFFIXES = frozenset({".m4a", ".aac", ".wma", ".ape", ".mp4", ".mkv", ".mov", ".webm"})


def find_clips(folder: str | Path) -> dict[str, list[Path]]:
    """Return the recordings of each speaker, both sorted by name.

    Only ``<folder>/<speaker>/<file>`` counts. What lies elsewhere, or cannot be
    read by any step, is ignored with a warning. Hidden folders are ignored.

    Raises:
        AudioError: There is no such folder, or no recording where it should be.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise AudioError(f"there is no folder {folder}; make it and put recordings into {folder}/<speaker>/")
    speakers = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    clips = {speaker.name: files for speaker in speakers if (files := _named(find_audio(speaker)))}
    loose = find_audio(folder)
    if loose and not clips:
        raise AudioError(
            f"{folder} holds {len(loose)} recordings directly; move them into a folder named after "
            f"their singer: {folder}/<speaker>/{loose[0].name}"
        )
    if loose:
        logger.warning("ignored: %d recordings directly in %s, in no speaker's folder", len(loose), folder)
    for speaker in speakers:
        _warn_of_ignored(speaker)
    if not clips:
        raise AudioError(f"{folder} holds no recordings; put them into {folder}/<speaker>/")
    return clips


def _named(files: list[Path]) -> list[Path]:
    """Return the files whose names are one line of text, as file lists need; the others are named."""
    good = []
    for path in files:
        is_text = not any("\ud800" <= letter <= "\udfff" for letter in path.name)
        if is_text and len(path.name.splitlines()) == 1:
            good.append(path)
        else:  # a line break, or bytes of another encoding from an old archive
            logger.warning("ignored: %a; its name is no line of text, rename it", str(path))
    return good


def _warn_of_ignored(speaker: Path) -> None:
    for path in sorted(speaker.iterdir()):
        if path.is_dir() and any(find_audio(sub) for sub in [path, *path.rglob("*")] if sub.is_dir()):
            logger.warning("ignored: folder %s; recordings belong directly into %s", path, speaker)
        elif path.suffix.lower() in UNREADABLE_SUFFIXES:
            logger.warning("ignored: %s; %s is not read, convert it to wav", path, path.suffix)
