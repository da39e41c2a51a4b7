"""The recording to convert: found by name, and read without holding it in memory.

Block by block, it is written as mono at the model's rate to a scratch file, of
which any part can then be read. The loudness curve, which slicing needs, is
measured on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from modules.common.errors import AudioError, ConfigError
from modules.common.text import normalize_name
from modules.dsp.audio import (
    AUDIO_SUFFIXES,
    check_length,
    find_audio,
    mono_blocks,
    open_audio,
    resample_blocks,
)
from modules.dsp.blocks import ScratchAudio
from modules.dsp.infrasound import OffsetMeter, remove_offset
from modules.dsp.slicer import PUBLISHED, LoudnessMeter, SliceRule, softness, song_level


class SourceAudio:
    """A recording as mono float32 at the model's rate. A context manager: leaving it frees the disk.

    Constant offset (DC) is removed. Of channels that cancel one is taken.

    It may have any format that libsndfile reads, with any rate and channel count. ``scratch``
    is an existing folder for the temporary file (4 bytes per sample). ``n_samples`` is exactly
    the file's duration at ``sampling_rate``, rounded; ``rms`` (R,) the loudness curve
    of :class:`modules.dsp.slicer.LoudnessMeter`, whose resolution ``rule`` gives; ``softness`` the
    factor, at most 1, that thresholds meant for an ordinary song take here. ``report`` is
    called after each block that is read, and may raise to stop.

    Raises:
        AudioError: The file is missing, unreadable, damaged or empty, lasts no
            sample at this rate, or holds NaN or Inf.
    """

    def __init__(
        self,
        path: str | Path,
        sampling_rate: int,
        scratch: str | Path,
        rule: SliceRule = PUBLISHED,
        report: Callable[[], object] = lambda: None,
    ) -> None:
        self.path, self.sampling_rate = Path(path), sampling_rate
        meter, offset = LoudnessMeter(sampling_rate, rule), OffsetMeter(sampling_rate)

        def metered(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
            for block in blocks:
                meter.feed(block)
                offset.feed(block)
                report()
                yield block

        with open_audio(self.path) as file:
            found = metered(resample_blocks(mono_blocks(file), file.samplerate, sampling_rate))
            self._audio = ScratchAudio(scratch, found)
        self.n_samples, self.rms, self._offset = len(self._audio), meter.rms(), offset.offset()
        self.softness = softness(song_level(self.rms))
        try:
            check_length(self.path, self.n_samples)
        except AudioError:
            self._audio.close()
            raise

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.n_samples / self.sampling_rate

    def read(self, start: int, end: int) -> np.ndarray:
        """Read samples ``start`` to ``end`` (excluded); zeros outside the recording."""
        audio = np.zeros(end - start, np.float32)
        first, last = max(start, 0), min(end, self.n_samples)
        if first < last:
            audio[first - start : last - start] = remove_offset(self._audio[first:last], self._offset)
        return audio

    def close(self) -> None:
        """Free the disk."""
        self._audio.close()

    def __enter__(self) -> SourceAudio:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def find_songs(names: Sequence[str], folder: str | Path = "raw") -> list[Path]:
    """Find the file of each name: in ``folder`` or as a path, with or without a known extension.

    Raises:
        ConfigError: No name was given; lists what ``folder`` holds.
        AudioError: A name matches no file, or several.
    """
    if not names:
        there = [path.name for path in find_audio(folder)] if Path(folder).is_dir() else []
        raise ConfigError(
            f"name the songs to convert with -n; {folder}/ holds: {', '.join(there) or 'no sound files'}"
        )
    return [_find_song(name, Path(folder)) for name in names]


def _find_song(name: str, folder: Path) -> Path:
    places = [folder / name, Path(name)]  # an absolute name stays as it is when joined
    for path in places:
        if path.is_file():
            return path
    for path in places:
        there = find_audio(path.parent) if path.parent.is_dir() else []
        wanted = normalize_name(path.name)
        candidates = [
            other for other in there if wanted in (normalize_name(other.stem), normalize_name(other.name))
        ]
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            shown = ", ".join(str(candidate) for candidate in candidates)
            raise AudioError(f"{name!r} could be any of {shown}; give its extension too")
    raise AudioError(
        f"there is no song {name!r} in {folder}/, with or without one of the extensions "
        f"{' '.join(sorted(AUDIO_SUFFIXES))}"
    )
