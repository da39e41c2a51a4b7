"""The converted song as a file: its name, its format, its peaks and its tag.

Samples are kept as they are made, in a scratch file, and encoded when the song
is whole: only then is its highest peak known. A song that would clip is made
softer as a whole, since bending its peaks one by one is heard as crackle. Every
result says in its comment tag that it is a conversion, so formats that have no
such tag are not offered.
"""

from __future__ import annotations

import logging
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import soundfile

from inference.options import ConvertOptions
from modules.common.errors import AudioError, ConfigError
from modules.common.files import replacing
from modules.dsp.audio import write_error

TAGGED_FORMATS = ("FLAC", "WAV", "MP3", "OGG", "AIFF", "CAF", "RF64", "WAVEX")
LONGEST_TAG = 200  # characters; libsndfile loses longer ones in some formats, and crashes in one
LONGEST_NAME = 240  # bytes; file systems allow 255, and while it is written a file is called by some more
HIGHEST = 0.99  # of full scale, the peak of a song that was made softer
_BLOCK = 2**18  # samples that are encoded at a time

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


def result_name(stem: str, key: float, speaker: str, options: ConvertOptions) -> str:
    """Return the published name of a result: <stem>_<key>key|auto_<speaker>[_<cr>]_<mode>_<f0>.<format>.

    A stem that would make it longer than file systems allow is cut short.
    """
    change = "auto" if options.auto_predict_f0 else f"{key:g}key"
    blend = f"_{options.cluster_infer_ratio:g}" if options.blends else ""
    ending = f"_{change}_{speaker}{blend}_{options.mode}_{options.f0_predictor}.{options.wav_format.lower()}"
    room = max(1, LONGEST_NAME - len(os.fsencode(ending)))
    if len(os.fsencode(stem)) > room:
        stem = os.fsencode(stem)[:room].decode(errors="ignore")
    return f"{stem}{ending}".replace("/", "_").replace("\\", "_")


class SongWriter:
    """Takes finished samples, in order. Made by :func:`writing`."""

    def __init__(self, scratch: IO[bytes]) -> None:
        self._scratch = scratch
        self.peak = 0.0

    def write(self, audio: np.ndarray) -> None:
        """Append ``audio`` (T,), full scale ±1 and beyond."""
        self.peak = max(self.peak, float(np.abs(audio).max(initial=0.0)))
        self._scratch.write(np.ascontiguousarray(audio, np.float32).tobytes())

    def blocks(self, gain: float) -> Iterator[np.ndarray]:
        """Yield all that was written, in pieces (T,), times ``gain``."""
        self._scratch.seek(0)
        while block := self._scratch.read(4 * _BLOCK):
            yield np.frombuffer(block, np.float32) * np.float32(gain)


@contextmanager
def writing(
    path: str | Path, sampling_rate: int, wav_format: str, comment: str, subtype: str | None = None
) -> Iterator[SongWriter]:
    """Open a result for writing; it appears at ``path`` when the block ends well.

    If the highest peak lies above full scale, one gain for the whole song brings
    it there, and is reported; float formats keep it.

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
    with replacing(path) as temporary, tempfile.TemporaryFile(dir=temporary.parent) as scratch:
        writer = SongWriter(scratch)
        yield writer
        try:
            with soundfile.SoundFile(temporary, "w", sampling_rate, 1, subtype=subtype, format=form) as file:
                file.comment = comment
                gain = _gain(writer.peak, file.subtype, path)
                for block in writer.blocks(gain):
                    file.write(block)
            with soundfile.SoundFile(temporary) as file:
                kept = file.comment == comment
        except (soundfile.LibsndfileError, ValueError) as error:
            raise write_error(path, error) from None
        if not kept:
            raise AudioError(
                f"{path}: this build of libsndfile lost the tag of a {form} file; use another -wf"
            )


def _gain(peak: float, subtype: str, path: str | Path) -> float:
    if peak <= 1.0 or subtype in ("FLOAT", "DOUBLE"):
        return 1.0
    logger.warning("%s: made %.1f dB softer, so that its peaks fit", path, 20 * math.log10(peak / HIGHEST))
    return HIGHEST / peak
