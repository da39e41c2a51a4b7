"""The recording to convert: found by name, and read without holding it in memory.

Block by block, it is written as mono at the model's rate to a scratch file, of
which any part can then be read. The loudness curve, which slicing needs, is
measured on the way.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import soxr

from modules.common.errors import AudioError, ConfigError
from modules.dsp.audio import (
    AUDIO_SUFFIXES,
    check_length,
    find_audio,
    open_audio,
    read_samples,
    resampled_length,
    to_mono,
)
from modules.dsp.slicer import PUBLISHED, LoudnessMeter, SliceRule


class SourceAudio:
    """A recording as mono float32 at the model's rate. A context manager: leaving it frees the disk.

    It may have any format that libsndfile reads, with any rate and channel count. ``scratch``
    is an existing folder for the temporary file (4 bytes per sample). ``n_samples`` is exactly
    the file's duration at ``sampling_rate``, rounded; ``rms`` (R,) the loudness curve
    of :class:`modules.dsp.slicer.LoudnessMeter`, whose resolution ``rule`` gives. ``report`` is
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
        meter = LoudnessMeter(sampling_rate, rule)
        self._file = tempfile.TemporaryFile(dir=scratch, prefix=".glow_svc.")  # noqa: SIM115
        try:
            self.n_samples = 0
            for block in _blocks(self.path, sampling_rate):
                self._file.write(block.tobytes())
                meter.feed(block)
                self.n_samples += len(block)
                report()
        except BaseException:
            self._file.close()
            raise
        self.rms = meter.rms()

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.n_samples / self.sampling_rate

    def read(self, start: int, end: int) -> np.ndarray:
        """Read samples ``start`` to ``end`` (excluded); zeros outside the recording."""
        audio = np.zeros(end - start, np.float32)
        first, last = max(start, 0), min(end, self.n_samples)
        if first < last:
            self._file.seek(first * audio.itemsize)
            content = self._file.read((last - first) * audio.itemsize)
            audio[first - start : last - start] = np.frombuffer(content, np.float32)
        return audio

    def __enter__(self) -> SourceAudio:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _blocks(path: Path, sampling_rate: int) -> Iterator[np.ndarray]:
    """Yield blocks (T,), mono, at ``sampling_rate``."""
    with open_audio(path) as file:
        rate = file.samplerate
        resampler = soxr.ResampleStream(rate, sampling_rate, 1, dtype="float32", quality="HQ")
        n_read = n_given = 0
        while True:
            samples = read_samples(file)
            block = to_mono(samples)
            if not np.isfinite(block).all():
                second = (n_read + int(np.flatnonzero(~np.isfinite(block))[0])) / rate
                raise AudioError(
                    f"{path} holds NaN or infinite samples, first at {second:.2f} s; export it again"
                )
            n_read += len(block)
            if rate != sampling_rate:
                block = resampler.resample_chunk(np.ascontiguousarray(block), last=len(samples) == 0)
            if len(samples) == 0:
                break
            n_given += len(block)
            yield block
    n_samples = resampled_length(n_read, rate, sampling_rate)
    check_length(path, n_samples)
    missing = n_samples - n_given
    yield np.pad(block, (0, max(0, missing - len(block))))[:missing]


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
        candidates = [other for other in there if other.stem == path.name]
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            shown = ", ".join(str(candidate) for candidate in candidates)
            raise AudioError(f"{name!r} could be any of {shown}; give its extension too")
    raise AudioError(
        f"there is no song {name!r} in {folder}/, with or without one of the extensions "
        f"{' '.join(sorted(AUDIO_SUFFIXES))}"
    )
