"""Folders of a data set: one per speaker, with sound files directly in it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from modules.common.errors import AudioError
from modules.common.text import is_line, normalize_name, printable
from modules.dsp.audio import find_audio

# bytes of a clip's name: file systems allow 255, and the temporary file of its longest feature
# (modules/dataset/features.py, modules/common/files.py) has 31 more
LONGEST_NAME = 220
# common, but not read by libsndfile: named instead of silently skipped
UNREADABLE_SUFFIXES = frozenset(
    ".m4a .m4b .aac .wma .ape .amr .awb .3gp .3g2 .dsf .dff .mp4 .mkv .mov .webm".split()
)
# reason that something is ignored, and what to do about it
IGNORED = {
    "loose": "it is in no speaker's folder, move it into one",
    "nested": "recordings belong directly into a speaker's folder",
    "format": "this format is not read, convert it to wav",
    "name": "its name is not a line of text, rename it",
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Layout:
    """Content of a data set's folder."""

    clips: dict[str, list[Path]]  # the recordings of each speaker, by name in NFC, both sorted by name
    ignored: dict[Path, str]  # what no step reads, with the reason: a key of IGNORED


def find_clips(folder: str | Path) -> dict[str, list[Path]]:
    """Clips of :func:`scan_folder`, with a warning for all that is ignored."""
    layout = scan_folder(folder)
    for path, why in layout.ignored.items():
        logger.warning("ignored: %s; %s", printable_path(path), IGNORED[why])
    return layout.clips


def scan_folder(folder: str | Path) -> Layout:
    """List the clips in the folder of a data set.

    Only ``<folder>/<speaker>/<file>`` counts. Hidden folders and files that are not
    sound are skipped silently.

    Raises:
        AudioError: There is no such folder, or no recording where it should be.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise AudioError(f"there is no folder {folder}; make it and put recordings into {folder}/<speaker>/")
    loose = find_audio(folder)
    ignored = dict.fromkeys(loose, "loose") | _unreadable(folder)
    clips: dict[str, list[Path]] = {}
    folders: dict[str, Path] = {}
    for speaker in filter(Path.is_dir, _entries(folder)):
        if not is_line(speaker.name):
            ignored[speaker] = "name"
            continue
        name = normalize_name(speaker.name)
        if folders.setdefault(name, speaker) != speaker:
            raise AudioError(
                f"two folders of {folder} are called {name}, in two ways of writing its letters; rename one, "
                "or move its recordings into the other"
            )
        found = find_audio(speaker)
        if good := [path for path in found if is_line(path.name)]:
            clips[name] = good
        ignored |= {path: "name" for path in found if not is_line(path.name)}
        ignored |= {path: "nested" for path in _entries(speaker) if _holds_audio(path)}
        ignored |= _unreadable(speaker)
    if clips:
        return Layout(clips, ignored)
    if loose:
        raise AudioError(
            f"{folder} holds {len(loose)} recordings directly; move them into a folder named after "
            f"the speaker: {folder}/<speaker>/{loose[0].name}"
        )
    example = next(
        (f"; {printable_path(path)} is ignored: {IGNORED[why]}" for path, why in ignored.items()), ""
    )
    raise AudioError(f"{folder} holds no recordings; put them into {folder}/<speaker>/{example}")


def printable_path(path: Path) -> str:
    """A path as text that can be written and shown, whatever it holds."""
    return printable(str(path))


def _entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _unreadable(folder: Path) -> dict[Path, str]:
    return {path: "format" for path in _entries(folder) if path.suffix.lower() in UNREADABLE_SUFFIXES}


def _holds_audio(path: Path) -> bool:
    return path.is_dir() and any(find_audio(sub) for sub in [path, *path.rglob("*")] if sub.is_dir())
