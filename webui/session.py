"""The one voice that a server has loaded, and the songs that it converts, one after the other.

Pages and programs share it: two models in the memory of one graphics card are
often one too many. Whoever asks for other models than those that are loaded
gets them loaded in their turn.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modules.common.errors import AudioError, ConfigError, GlowSVCError
from webui.jobs.queue import CONVERTING, DRAWING, LOADING, Job, Line

if TYPE_CHECKING:
    from inference.options import ConvertOptions
    from inference.pipeline import ConversionResult, SongConverter
    from modules.config import Config

SHOWN = 30.0  # s of a song whose pitch is kept for a picture

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Take:
    """One conversion that is asked for.

    Attributes:
        song: The recording.
        result: The file that it is to become; if that is there when its turn comes, with a number.
        speaker: Name or id of the voice.
        key: Semitones.
    """

    song: Path
    result: Path
    speaker: str | int
    key: float


@dataclass(frozen=True, eq=False)
class Advice:
    """That a song lies outside the range of its voice.

    Attributes:
        low: Lower end of the song as it was sung, Hz (5th percentile); ``high`` the upper (95th).
        trained: The same of the voice's recordings, Hz.
        key: Semitones that would fit.
    """

    low: float
    high: float
    trained: tuple[float, float]
    key: int


@dataclass(frozen=True, eq=False)
class Made:
    """What became of a take.

    Attributes:
        take: What was asked for.
        speaker: Name of the voice.
        seconds: Duration.
        real_time_factor: Seconds of work per second of song.
        source_f0: (N,), of the song's beginning, Hz, 0 where unvoiced; up to 30 s.
        result_f0: (N,), heard in the result's beginning.
        sampling_rate: Of the result, Hz.
        hop_length: Samples per F0 frame.
        slices: Beginning and end of every part that was sung in one go, s.
        advice: If the song lies outside the voice's range.
    """

    take: Take
    speaker: str
    seconds: float
    real_time_factor: float
    source_f0: np.ndarray
    result_f0: np.ndarray
    sampling_rate: int
    hop_length: int
    slices: tuple[tuple[float, float], ...]
    advice: Advice | None


class Session:
    """The loaded voice of a server.

    Attributes:
        line: Who waits for it.
    """

    def __init__(self) -> None:
        self.line = Line()
        self._converter: SongConverter | None = None
        self._loaded: tuple[Any, ...] | None = None
        self._options: ConvertOptions | None = None

    @property
    def options(self) -> ConvertOptions | None:
        """The options that the voice was loaded with; None if none is loaded."""
        return self._options

    @property
    def config(self) -> Config | None:
        """Settings of the loaded voice; None if none is loaded."""
        return self._converter.config if self._converter else None

    @property
    def device(self) -> str:
        """Name of the device that the loaded voice runs on; empty if none is loaded."""
        return str(getattr(self._converter, "device", ""))

    def load(self, options: ConvertOptions) -> Job:
        """Start to load the models that ``options`` name; the job's result is their ``Config``."""

        def work(job: Job) -> Config:
            with self.line.turn(job):
                config = self._load(options, job).config
                self._options = options
                return config

        return Job(work).start()

    def unload(self) -> None:
        """Give the memory of the loaded models back.

        Raises:
            ConfigError: They are being used.
        """
        if len(self.line):
            raise ConfigError("the model is at work; cancel that first, or wait until it is done")
        self._forget()

    def convert(self, options: ConvertOptions, takes: Sequence[Take]) -> Job:
        """Start to convert songs; the job's result is a list of ``Made`` or GlowSVCError, one for each."""

        def work(job: Job) -> list[Made | GlowSVCError]:
            with self.line.turn(job):
                converter = self._load(options, job)
                return [
                    self._convert(converter, take, job, number / len(takes), 1 / len(takes))
                    for number, take in enumerate(takes)
                ]

        return Job(work).start()

    def close(self) -> None:
        """Stop all work."""
        self.line.cancel()

    def _load(self, options: ConvertOptions, job: Job) -> SongConverter:
        if self._converter is not None and self._loaded == _models(options):
            self._converter.options = options
            return self._converter
        job.enter(LOADING, Path(options.onnx or options.model_path).name)
        self._forget()
        try:
            if options.onnx:
                from inference.onnx.converter import OnnxConverter

                self._converter = OnnxConverter(options)
            else:
                from inference.converter import Converter

                self._converter = Converter(options)
        except BaseException:
            _give_back()  # what was loaded before it failed
            raise
        self._loaded, self._options = _models(options), options
        return self._converter

    def _forget(self) -> None:
        self._converter = self._options = self._loaded = None
        _give_back()

    def _convert(
        self, converter: SongConverter, take: Take, job: Job, before: float, share: float
    ) -> Made | GlowSVCError:
        job.enter(CONVERTING, take.song.name)
        take = replace(take, result=_unused(take.result))

        def progress(done: float, total: float) -> None:
            job.report(before + share * done / max(total, done, 1e-9))

        try:
            result = converter.convert(take.song, take.result, take.speaker, take.key, progress)
            job.enter(DRAWING, take.song.name)
            return _made(converter, take, result)
        except GlowSVCError as error:  # by the name that the song came with, not by where it was laid
            return type(error)(str(error).replace(str(take.song), take.song.name))
        except OSError as error:  # no space left, no permission
            return AudioError(f"{take.result.name}: {error.strerror or error}")


def devices() -> list[str]:
    """Return the names of the devices that networks can run on here."""
    import torch

    found = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return [*found, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def _unused(path: Path) -> Path:
    """Return ``path``, numbered if it is taken. It stays free: nobody else has their turn now."""
    from inference.output import LONGEST_NAME

    free, number = path, 1
    while free.exists():
        number += 1
        ending = f" ({number}){path.suffix}"
        stem = os.fsencode(path.stem)[: LONGEST_NAME - len(os.fsencode(ending))].decode(errors="ignore")
        free = path.with_name(stem + ending)
    return free


def _models(options: ConvertOptions) -> tuple[Any, ...]:
    """Return what a loaded converter cannot change any more."""
    glow = () if options.only_diffusion else (options.model_path, options.config_path)
    diffusion = (
        (
            options.diffusion_model_path,
            options.diffusion_config_path,
            options.diffusion_method,
            options.diffusion_speedup,
            options.k_step,
            options.only_diffusion,
            options.second_encoding,
        )
        if options.diffuses
        else ()
    )
    files = [Path(file) for file in (*glow, *diffusion[:2]) if not options.onnx]
    return (
        options.onnx or glow,
        diffusion,
        tuple(file.stat().st_mtime_ns for file in files if file.is_file()),  # trained on meanwhile
        options.enhances,
        options.auto_predict_f0,
        options.precision,
        options.device,
    )


def _made(converter: SongConverter, take: Take, result: ConversionResult) -> Made:
    from inference.oom import within_memory
    from inference.source import SourceAudio
    from modules.dsp.slicer import SliceRule

    config, options = converter.config, converter.options
    rate, hop = converter.sampling_rate, config.data.hop_length
    rule = SliceRule(threshold=options.slice_db)
    n_frames = round(min(SHOWN, result.seconds) * rate) // hop
    heard = np.zeros(0, np.float32)
    if n_frames:
        with (
            within_memory(take.song, converter.device, options),
            SourceAudio(take.result, rate, take.result.parent, rule) as sung,
        ):
            f0, uv = converter.track(sung.read(0, n_frames * hop), n_frames)
            heard = f0 * uv
    name = take.speaker if options.use_spk_mix else config.speaker_name(take.speaker)
    return Made(
        take=take,
        speaker=str(name),
        seconds=result.seconds,
        real_time_factor=result.real_time_factor,
        source_f0=result.f0[:n_frames].copy(),
        result_f0=heard,
        sampling_rate=rate,
        hop_length=hop,
        slices=tuple((chunk.start / rate, chunk.end / rate) for chunk in result.chunks if not chunk.silent),
        advice=_advice(config, str(name), take.key, result) if result.advice else None,
    )


def _advice(config: Config, speaker: str, key: float, result: ConversionResult) -> Advice:
    from inference.key import suggest_key
    from modules.dsp.f0 import transpose

    trained, voiced = config.f0_range[speaker], result.f0[result.uv > 0]
    low, high = np.percentile(transpose(voiced, key), [5, 95])
    return Advice(float(low), float(high), (trained[0], trained[2]), suggest_key(voiced, trained))


def _give_back() -> None:
    """Return memory that nothing uses to the system."""
    gc.collect()
    if torch := sys.modules.get("torch"):
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        elif torch.backends.mps.is_available():
            torch.mps.empty_cache()
    with contextlib.suppress(OSError, AttributeError, TypeError):  # only glibc has it
        ctypes.CDLL(None).malloc_trim(0)
