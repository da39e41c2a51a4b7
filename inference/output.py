"""The converted song as a file: its name, its format, its peaks and its tag.

It is written as it is made, beside its destination, and moved there when it is
whole. Every result says in its comment tag that it is a conversion, so formats
that have no such tag are not offered.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile

from modules.audio import write_error
from modules.errors import AudioError, ConfigError
from modules.files import replacing

TAGGED_FORMATS = ("FLAC", "WAV", "MP3", "OGG", "AIFF", "CAF", "RF64", "WAVEX")
LONGEST_TAG = 200  # characters; libsndfile loses longer ones in some formats, and crashes in one
KNEE = 0.95  # full scale is 1; below it samples are left alone

logger = logging.getLogger(__name__)


def check_format(name: str) -> str:
    """Return libsndfile's name of the format ``name`` (any case).

    Raises:
        ConfigError: It cannot be written, or cannot carry the tag; lists those that can.
    """
    usable = [known for known in TAGGED_FORMATS if known in soundfile.available_formats()]
    if name.upper() not in usable:
        raise ConfigError(f"-wf: cannot write {name!r} files; choose one of {', '.join(usable).lower()}")
    return name.upper()


def result_name(
    stem: str, key: float, speaker: str, f0_predictor: str, wav_format: str, auto_predict_f0: bool = False
) -> str:
    """Return the published name of a result: <stem>_<key>key|auto_<speaker>_glow_<f0>.<format>."""
    change = "auto" if auto_predict_f0 else f"{key:g}key"
    name = f"{stem}_{change}_{speaker}_glow_{f0_predictor}.{wav_format.lower()}"
    return name.replace("/", "_").replace("\\", "_")


def soft_clip(audio: np.ndarray) -> np.ndarray:
    """Return ``audio`` (T,) within ±1: what exceeds 0.95 bends towards 1, the rest is untouched.

    Each sample depends on itself alone, so slices keep their levels and seams stay invisible.
    """
    over = np.abs(audio) > KNEE
    if not over.any():
        return audio
    audio = audio.copy()
    room = 1.0 - KNEE
    bent = KNEE + room * np.tanh((np.abs(audio[over]) - KNEE) / room)
    audio[over] = np.copysign(bent, audio[over])
    return audio


class SongWriter:
    """Takes finished samples, in order. Made by :func:`writing`."""

    def __init__(self, file: soundfile.SoundFile) -> None:
        self._file = file
        self._holds_more = file.subtype in ("FLOAT", "DOUBLE")
        self.peak = 0.0

    def write(self, audio: np.ndarray) -> None:
        """Append ``audio`` (T,), full scale ±1."""
        self.peak = max(self.peak, float(np.abs(audio).max(initial=0.0)))
        self._file.write(audio if self._holds_more else soft_clip(audio))


@contextmanager
def writing(
    path: str | Path, sampling_rate: int, wav_format: str, comment: str, subtype: str | None = None
) -> Iterator[SongWriter]:
    """Open a result for writing; it appears at ``path`` when the block ends well.

    Peaks above full scale bend (:func:`soft_clip`) in all but float formats, and
    are reported: no gain is changed, and nothing wraps.

    Args:
        path: Destination; its folder is made.
        sampling_rate: Hz.
        wav_format: See :func:`check_format`.
        comment: What the tag says, up to 200 characters.
        subtype: libsndfile's sample format; None takes the format's default.

    Raises:
        ConfigError: Unknown format.
        AudioError: The format cannot hold this, or did not keep the tag.
    """
    form = check_format(wav_format)
    comment = comment[:LONGEST_TAG]
    if form == "MP3":  # libsndfile stores other letters there as nonsense
        comment = comment.encode("ascii", "replace").decode()
    with replacing(path) as temporary:
        try:
            with soundfile.SoundFile(temporary, "w", sampling_rate, 1, subtype=subtype, format=form) as file:
                file.comment = comment
                writer = SongWriter(file)
                yield writer
            with soundfile.SoundFile(temporary) as file:
                kept = file.comment == comment
        except (soundfile.LibsndfileError, ValueError) as error:
            raise write_error(path, error) from None
        if not kept:
            raise AudioError(
                f"{path}: this build of libsndfile lost the tag of a {form} file; use another -wf"
            )
    if writer.peak > 1.0:
        logger.warning(
            "%s: peaks were %.1f dB above full scale and were rounded off", path, 20 * math.log10(writer.peak)
        )
