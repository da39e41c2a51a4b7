"""The song as stereo at one rate, in a file of which any part can be read, and files like it."""

from __future__ import annotations

import logging
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from modules.common.errors import AudioError
from modules.dsp.audio import check_length, open_audio, read_samples, resampled_length, to_mono, write_error
from modules.dsp.blocks import BLOCK
from separation.base import RATE

MADE_FLOATS = ("RF64", "FLOAT")  # format of the stages' files: exact, and of any length
SONG = "song.wav"
_SILENT = 1e-4  # of full scale, -80 dB

logger = logging.getLogger(__name__)


class StereoFile:
    """Samples (T, 2), float32, of a file that :func:`write_stereo` wrote."""

    def __init__(self, path: Path) -> None:
        self.path, self._file = path, open_audio(path)

    def __len__(self) -> int:
        return int(self._file.frames)

    def __getitem__(self, where: slice) -> np.ndarray:
        start, stop, _ = where.indices(len(self))
        self._file.seek(start)
        return read_samples(self._file, max(0, stop - start))

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield all samples in blocks (T, 2)."""
        for start in range(0, len(self), BLOCK):
            yield self[start : start + BLOCK]


def write_stereo(path: Path, blocks: Iterable[np.ndarray]) -> None:
    """Write blocks (T, channels) as floats at ``RATE``; raises OSError if the disk is full."""
    form, subtype = MADE_FLOATS
    writer: soundfile.SoundFile | None = None
    try:
        for block in blocks:
            writer = writer or soundfile.SoundFile(path, "w", RATE, block.shape[1], subtype, format=form)
            writer.write(block)
    except soundfile.LibsndfileError as error:
        raise write_error(path, error) from None
    finally:
        if writer:
            writer.close()


def read_song(song: Path, folder: Path, report: Callable[[float, float], object]) -> None:
    """Write ``song`` as stereo at ``RATE`` to ``folder`` as ``SONG``.

    ``report`` gets the seconds done, and in total.

    Formats that libsndfile does not read go through ffmpeg. A mono song has two equal channels; of more
    than two channels the mean is taken.

    Raises:
        AudioError: It cannot be read, is silent or empty, or holds NaN or infinite samples.
    """
    decoded = folder / "decoded.wav"
    try:
        with _open(song, decoded) as file:
            write_stereo(folder / SONG, _stereo_blocks(song, file, report))
    finally:
        decoded.unlink(missing_ok=True)


def _open(song: Path, decoded: Path) -> soundfile.SoundFile:
    try:
        return open_audio(song)
    except AudioError as error:
        if not song.is_file() or not song.stat().st_size:
            raise
        ffmpeg = shutil.which("ffmpeg")
        if ffmpeg is None:
            raise AudioError(
                f"{str(error).rstrip('.')}; install ffmpeg, which reads more, or save it as wav"
            ) from None
        command = [ffmpeg, "-nostdin", "-v", "error", "-protocol_whitelist", "file"]
        command += [
            "-i",
            str(song.resolve()),
            "-map",
            "0:a:0",
            "-c:a",
            "pcm_f32le",
            "-rf64",
            "auto",
            str(decoded.resolve()),
        ]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise AudioError(f"{song} cannot be read as sound, by ffmpeg either: {reason}") from None
        logger.info("%s: read through ffmpeg", song)
        return open_audio(decoded)


def _stereo_blocks(
    song: Path, file: soundfile.SoundFile, report: Callable[[float, float], object]
) -> Iterator[np.ndarray]:
    if file.channels > 2:
        logger.info("%s: the mean of its %d channels is used", song, file.channels)
    resampler = soxr.ResampleStream(file.samplerate, RATE, 2, dtype="float32", quality="HQ")
    n_read = n_given = 0
    highest = 0.0
    while len(samples := read_samples(file)):
        if not np.isfinite(samples).all():
            raise AudioError(f"{song} holds NaN or infinite samples; export it again")
        stereo = samples if file.channels == 2 else np.repeat(to_mono(samples)[:, None], 2, 1)
        n_read += len(stereo)
        highest = max(highest, float(np.abs(stereo).max()))
        report(n_read / file.samplerate, file.frames / file.samplerate)
        if file.samplerate != RATE:
            stereo = resampler.resample_chunk(np.ascontiguousarray(stereo))
        n_given += len(stereo)
        yield stereo
    wanted = resampled_length(n_read, file.samplerate, RATE)
    check_length(song, wanted)
    if highest < _SILENT:
        raise AudioError(f"{song} is silent; there is nothing to cover")
    if n_given < wanted:
        rest = resampler.resample_chunk(np.zeros((0, 2), np.float32), last=True)
        yield np.pad(rest, ((0, max(0, wanted - n_given - len(rest))), (0, 0)))[: wanted - n_given]
