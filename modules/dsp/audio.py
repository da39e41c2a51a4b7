"""Reading, resampling and writing sound files: mono float32, full scale ±1."""

from __future__ import annotations

import errno
import logging
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from modules.common.errors import AudioError
from modules.common.files import replacing
from modules.dsp.blocks import Samples, blocks

# of files that libsndfile reads; the format itself is detected when a file is opened
AUDIO_SUFFIXES = frozenset(
    ".wav .wave .wavex .bwf .rf64 .w64 .flac .ogg .oga .opus .mp3 .aif .aiff .aifc .caf .au .snd "
    ".voc .sph .nist .paf .svx .avr .sf .pvf".split()
)
RATES = (4_000, 768_000)  # Hz, the lowest and the highest that are read
MOST_CHANNELS = 64  # of seventh-order ambisonics
_BLOCK = 1 << 16  # samples per channel that are decoded at once
# A few kilobytes of silence can be hours. What a file may unfold to follows from its size: five minutes, and
# a second for each kilobyte, less than which no codec spends on a voice.
_GIVEN = 300.0  # s
_LEAST_BYTES = 1000  # per second
_USUAL_RATE = 48_000  # Hz; seconds at higher rates count for more
_CANCELLED = 0.01  # of the power of a channel; unrelated channels leave 1/64 and more
_HEARD = 1e-6  # power, -60 dB; a second of it is sound
_LEAST_FREE = 2**16  # bytes; less is a full disk

logger = logging.getLogger(__name__)


def find_audio(folder: str | Path) -> list[Path]:
    """Sound files directly in ``folder``, sorted by name."""
    return sorted(
        path
        for path in Path(folder).iterdir()
        if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file() and not path.name.startswith(".")
    )


def open_audio(path: str | Path) -> soundfile.SoundFile:
    """Open a sound file for reading, if what its header claims is possible for a file of its size.

    Raises:
        AudioError: The file is missing, empty or in no known format, or claims to last longer than it
            can, a rate beyond ``RATES``, or more than ``MOST_CHANNELS``.
    """
    path = Path(path)
    if not path.is_file():
        raise AudioError(f"{path} does not exist")
    size = path.stat().st_size
    if size == 0:
        raise AudioError(f"{path} is empty (0 bytes)")
    try:
        file = soundfile.SoundFile(path)
    except UnicodeEncodeError:
        raise AudioError(f"{path} has a name in another encoding than the system's; rename it") from None
    except TypeError:  # soundfile asks for their rate
        raise AudioError(f"{path} is raw samples, without a header that gives their rate") from None
    except (soundfile.LibsndfileError, RuntimeError) as error:
        reason = getattr(error, "error_string", str(error))
        raise AudioError(f"{path} cannot be read as sound: {reason}") from None
    problem = _implausible(file, size)
    if problem:
        file.close()
        raise AudioError(f"{path} cannot be read as sound: {problem}")
    return file


def _implausible(file: soundfile.SoundFile, size: int) -> str:
    """What in the header of a file of ``size`` bytes cannot be; "" if all can."""
    rate, (lowest, highest) = file.samplerate, RATES
    if not lowest <= rate <= highest:
        return f"its sampling rate is {rate} Hz; {lowest} to {highest} Hz are read"
    if file.channels > MOST_CHANNELS:
        return f"it has {file.channels} channels; up to {MOST_CHANNELS} are read"
    if file.frames > (_GIVEN + size / _LEAST_BYTES) * min(rate, _USUAL_RATE):
        return f"its header claims {file.frames} samples, too many for its {size} bytes; export it again"
    return ""


def read_audio(path: str | Path, sampling_rate: int | None = None) -> tuple[np.ndarray, int]:
    """Read a whole file, of any rate and channel count, as mono.

    Returns:
        Audio (T,), float32, and its sampling rate in Hz: ``sampling_rate`` or the file's own.

    Raises:
        AudioError: Missing, unreadable or empty file, one that lasts no sample
            at this rate, or samples that are not finite numbers.
    """
    with open_audio(path) as file:
        rate = file.samplerate
        audio = read_mono(file)
    if not np.isfinite(audio).all():
        raise AudioError(f"{path} holds NaN or infinite samples; export it again")
    wanted = sampling_rate or rate
    check_length(path, resampled_length(len(audio), rate, wanted))
    return resample(audio, rate, wanted), wanted


def read_mono(file: soundfile.SoundFile, n_samples: int | None = None) -> np.ndarray:
    """Read the next samples of an open file as mono (T,), float32; None reads to its end.

    They are decoded block by block, so memory follows from what is there and not from what the header
    claims, and one channel of it is held. Of channels that cancel one is read, see
    :func:`find_channel`. Raises AudioError if the file is damaged.
    """
    channel = find_channel(file, n_samples)
    audio = bytearray()  # grows in place
    left = sys.maxsize if n_samples is None else n_samples
    while left and len(samples := read_samples(file, min(left, _BLOCK))):
        audio += to_mono(samples, channel).tobytes()
        left -= len(samples)
    return np.frombuffer(audio, np.float32)


def mono_blocks(file: soundfile.SoundFile) -> Iterator[np.ndarray]:
    """Yield the samples of an open file in blocks (T,): the mean of its channels, or :func:`find_channel`'s.

    Raises:
        AudioError: The file is damaged, or holds NaN or infinite samples.
    """
    channel, n_read = find_channel(file), 0
    while len(samples := read_samples(file)):
        block = to_mono(samples, channel)
        if not np.isfinite(block).all():
            second = (n_read + int(np.flatnonzero(~np.isfinite(block))[0])) / file.samplerate
            raise AudioError(
                f"{file.name} holds NaN or infinite samples, first at {second:.2f} s; export it again"
            )
        n_read += len(block)
        yield block


def read_samples(file: soundfile.SoundFile, n_samples: int = _BLOCK) -> np.ndarray:
    """Read the next samples (T, channels), float32, of an open file; none at its end.

    Raises:
        AudioError: The file is damaged there.
    """
    try:
        return file.read(n_samples, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        reason = getattr(error, "error_string", str(error))
        raise AudioError(f"{file.name} is damaged: {reason}") from None


def check_length(path: str | Path, n_samples: int) -> None:
    """Raise AudioError if a recording has no sample, or too few for a single one at the rate wanted."""
    if n_samples == 0:
        raise AudioError(f"{path} holds no samples, or too few to be a sound")


def to_mono(samples: np.ndarray, channel: int | None = None) -> np.ndarray:
    """Channel ``channel`` (T,) of ``samples`` (T, channels), float32, or the mean of all."""
    if samples.shape[1] == 1 or channel is not None:
        return samples[:, channel or 0]
    mean: np.ndarray = samples.mean(axis=1, dtype=np.float32)
    return mean


def find_channel(file: soundfile.SoundFile, n_samples: int | None = None) -> int | None:
    """Loudest channel of the next samples, if the channels cancel, so that none is left in their mean.

    That is said in a warning. None if the mean will do, which mostly shows as soon as there is sound.
    The file is then where it was.
    """
    if file.channels == 1 or not file.seekable():
        return None
    start, left = file.tell(), sys.maxsize if n_samples is None else n_samples
    powers, mean_power, cancel = np.zeros(file.channels), 0.0, True
    while left and cancel and len(samples := read_samples(file, min(left, _BLOCK))):
        left -= len(samples)
        powers += np.einsum("ij,ij->j", samples, samples, dtype=np.float64)
        mean_power += float(np.square(to_mono(samples), dtype=np.float64).sum())
        cancel = mean_power < max(_CANCELLED * powers.mean(), _HEARD * file.samplerate)
    file.seek(start)
    if not mean_power < _CANCELLED * powers.mean():
        return None
    loudest = int(powers.argmax())
    logger.warning("%s: its channels cancel; channel %d alone is used", file.name, loudest + 1)
    return loudest


def resampled_length(n_samples: int, from_rate: int, to_rate: int) -> int:
    """Number of samples that ``n_samples`` become at another rate."""
    return (n_samples * to_rate + from_rate // 2) // from_rate


def resample(audio: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Resample ``audio`` (T,), to exactly :func:`resampled_length` samples."""
    if from_rate == to_rate:
        return audio.astype(np.float32, copy=False)
    length = resampled_length(len(audio), from_rate, to_rate)
    out = soxr.resample(audio.astype(np.float32, copy=False), from_rate, to_rate, quality="HQ")
    return np.pad(out, (0, max(0, length - len(out))))[:length]


def resample_blocks(parts: Iterable[np.ndarray], from_rate: int, to_rate: int) -> Iterator[np.ndarray]:
    """Yield in blocks what :func:`resample` gives for all ``parts`` (T,) together."""
    if from_rate == to_rate:
        yield from parts
        return
    resampler = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32", quality="HQ")
    n_read = n_given = 0
    for block in parts:
        n_read += len(block)
        out = resampler.resample_chunk(np.ascontiguousarray(block))
        n_given += len(out)
        yield out
    out = resampler.resample_chunk(np.zeros(0, np.float32), last=True)
    missing = resampled_length(n_read, from_rate, to_rate) - n_given
    yield np.pad(out, (0, max(0, missing - len(out))))[: max(0, missing)]


def write_audio(path: str | Path, audio: Samples, sampling_rate: int, subtype: str | None = None) -> None:
    """Write ``audio`` (T,) atomically; the suffix of ``path`` chooses the format.

    Beyond ±1 integer formats clip. ``subtype`` is libsndfile's name of the sample format
    ("PCM_16"); None takes the format's default.

    Raises:
        AudioError: libsndfile cannot write this format.
        OSError: The disk is full.
    """
    path = Path(path)
    with replacing(path) as temporary:
        try:
            with soundfile.SoundFile(temporary, "w", sampling_rate, 1, subtype=subtype) as file:
                for block in blocks(audio):
                    file.write(block)
        except (soundfile.LibsndfileError, TypeError, ValueError) as error:
            raise write_error(path, error) from None


def write_error(path: str | Path, error: Exception) -> Exception:
    """Exception to raise when writing sound failed: libsndfile does not report a full disk."""
    if shutil.disk_usage(Path(path).parent).free < _LEAST_FREE:
        return OSError(errno.ENOSPC, "no space left on the disk", str(path))
    return AudioError(f"{path} cannot be written: {error}")
