"""The converted file: name, format, peak level and tag.

Samples go to a scratch file and are encoded at the end, when the peaks are known
(inference/peaks.py). The comment tag of every result says that it is a conversion, so
formats without such a tag are not offered.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import soundfile

from inference.options import ConvertOptions
from inference.options.checks import Key
from inference.options.effects import name_parts
from inference.peaks import PeakGain, PeakMeter
from modules.common.errors import AudioError, ConfigError
from modules.common.files import replacing
from modules.dsp.audio import write_error

TAGGED_FORMATS = ("FLAC", "WAV", "MP3", "OGG", "AIFF", "CAF", "RF64", "WAVEX")
LONGEST_TAG = 200  # characters; libsndfile loses longer ones in some formats, and crashes in one
LONGEST_NAME = 240  # bytes; file systems allow 255, and temporary names are longer
_BLOCK = 2**18  # samples encoded at a time


def check_format(name: str) -> str:
    """Look up libsndfile's name of the format ``name`` (any case).

    Raises:
        ConfigError: It cannot be written, or cannot carry the tag; lists those that can.
    """
    usable = [known for known in TAGGED_FORMATS if known in soundfile.available_formats()]
    if name.upper() not in usable:
        raise ConfigError(f"-wf: cannot write {name!r} files; choose one of {', '.join(usable).lower()}")
    return name.upper()


def result_name(stem: str, key: Key, speaker: str, options: ConvertOptions) -> str:
    """Name of a result: <stem>_<key>key|autokey|auto_<speaker>[_<cr>]_<mode>_<f0>[_<option>...].<format>.

    It is the published one unless further options change the sound: each is then in it. The stem
    is cut where the name would be longer than file systems allow.
    """
    change = "auto" if options.auto_predict_f0 else f"{key}key" if isinstance(key, str) else f"{key:g}key"
    blend = f"_{options.cluster_infer_ratio:g}" if options.blends else ""
    models = "_".join([options.mode, options.f0_predictor, *name_parts(options)])
    ending = f"_{change}_{speaker}{blend}_{models}.{options.wav_format.lower()}"
    room = max(1, LONGEST_NAME - len(os.fsencode(ending)))
    if len(os.fsencode(stem)) > room:
        stem = os.fsencode(stem)[:room].decode(errors="ignore")
    return f"{stem}{ending}".replace("/", "_").replace("\\", "_")


def result_tag(model_name: str, speaker: str, key: float, options: ConvertOptions) -> str:
    """Comment in the file of a result."""
    change = "auto" if options.auto_predict_f0 else f"{key:+g}"
    return f"Voice conversion by Glow-SVC; model {model_name}, speaker {speaker}, key {change}"


class SongWriter:
    """Collects finished samples, in order. Made by :func:`writing`."""

    def __init__(self, scratch: IO[bytes], sampling_rate: int, channels: int = 1) -> None:
        self._scratch, self.meter = scratch, PeakMeter(sampling_rate)
        self._shape = (-1,) if channels == 1 else (-1, channels)

    def write(self, audio: np.ndarray) -> None:
        """Append ``audio`` (T,), or (T, channels) if there are several, full scale ±1 and beyond."""
        self.meter.feed(audio)
        self._scratch.write(np.ascontiguousarray(audio, np.float32).tobytes())

    @property
    def peak(self) -> float:
        """Highest level so far, of full scale."""
        return float(self.meter.peaks().max(initial=0.0))

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the samples in blocks, as they were written."""
        self._scratch.seek(0)
        while block := self._scratch.read(4 * _BLOCK):
            yield np.frombuffer(block, np.float32).reshape(self._shape)


@contextmanager
def writing(
    path: str | Path,
    sampling_rate: int,
    wav_format: str,
    comment: str,
    subtype: str | None = None,
    channels: int = 1,
) -> Iterator[SongWriter]:
    """Open a result for writing; it appears at ``path`` when the block ends well.

    If peaks lie above full scale, the whole is attenuated, or a few that lie far above it are, with a
    warning; float formats keep them. The folder of ``path`` is made. ``comment`` is the tag, up to
    200 characters; ``subtype`` libsndfile's sample format, or None for the format's default.

    Raises:
        ConfigError: Unknown format.
        AudioError: The format cannot hold this audio, or did not keep the tag.
    """
    form = check_format(wav_format)
    comment = comment[:LONGEST_TAG]
    if form == "MP3":  # libsndfile garbles other characters there
        comment = comment.encode("ascii", "replace").decode()
    with replacing(path) as temporary, tempfile.TemporaryFile(dir=temporary.parent) as scratch:
        writer = SongWriter(scratch, sampling_rate, channels)
        yield writer
        try:
            with soundfile.SoundFile(
                temporary, "w", sampling_rate, channels, subtype=subtype, format=form
            ) as file:
                file.comment = comment
                blocks = writer.blocks()
                if file.subtype not in ("FLOAT", "DOUBLE"):
                    blocks = PeakGain(writer.meter.peaks(), writer.meter.window, path).apply(blocks)
                for block in blocks:
                    file.write(block)
            with soundfile.SoundFile(temporary) as file:
                kept = file.comment == comment
        except (soundfile.LibsndfileError, ValueError) as error:
            raise write_error(path, error) from None
        if not kept:
            raise AudioError(
                f"{path}: this build of libsndfile lost the tag of a {form} file; use another -wf"
            )
