"""Which pitch file belongs to which song."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from inference.conversion import PitchFiles
from inference.options import ConvertOptions
from modules.common.errors import ConfigError

F0_SUFFIX, MIDI_SUFFIX = ".f0.csv", ".mid"


def pitch_files(options: ConvertOptions, songs: Sequence[Path]) -> dict[Path, PitchFiles]:
    """The files of each song: as the options name them, or in their folders <song>.f0.csv and <song>.mid.

    Raises:
        ConfigError: One file is named for several songs, or one to read is missing.
    """
    several = len(set(songs)) > 1

    def find(flag: str, name: str, suffix: str, song: Path, written: bool = False) -> Path | None:
        if not name:
            return None
        path = Path(name)
        if path.is_dir() or name.endswith(("/", "\\")):
            path = path / f"{song.stem}{suffix}"
        elif several:
            raise ConfigError(
                f"{flag}: {name} is one file for several songs; name a folder, for <song>{suffix} of each"
            )
        if not written and not path.is_file():
            raise ConfigError(f"{flag}: there is no file {path}")
        return path

    found = {
        song: PitchFiles(
            f0=find("--f0", options.f0_file, F0_SUFFIX, song),
            midi=find("--midi", options.midi, MIDI_SUFFIX, song),
            write_f0=find("--write_f0", options.write_f0, F0_SUFFIX, song, True),
            write_midi=find("--write_midi", options.write_midi, MIDI_SUFFIX, song, True),
        )
        for song in songs
    }
    for name in ("write_f0", "write_midi"):
        paths = [path for files in found.values() if (path := getattr(files, name))]
        if len({str(path).casefold() for path in paths}) < len(paths):
            raise ConfigError(f"--{name}: two songs of one name would be written to one file; rename one")
    return found
