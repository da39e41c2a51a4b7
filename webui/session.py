"""The voice model that a server has loaded, and the conversions with it, one after the other.

All pages and programs share one model: two often do not fit into the memory of
one graphics card. A conversion with another model loads that one first.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modules.common.errors import AudioError, ConfigError, GlowSVCError
from webui.jobs.queue import ANALYSING, CONVERTING, LISTENING, LOADING, BackgroundJob, JobQueue

if TYPE_CHECKING:
    from inference.options import ConvertOptions
    from inference.pipeline import ConversionResult, SongConverter
    from modules.config import Config

SHOWN = 30.0  # s of a song that the picture shows


@dataclass(frozen=True)
class ConversionTask:
    """One conversion to do."""

    song: Path
    result: Path  # the file to write; numbered if it exists by then
    speaker: str | int  # name or id of the target speaker
    key: float | str  # semitones, or "auto"


@dataclass(frozen=True, eq=False)
class ConvertedSong:
    """A finished conversion."""

    task: ConversionTask  # what was asked for, with the file that was written
    speaker: str  # name of the target speaker
    conversion: ConversionResult
    result_f0: np.ndarray  # (N,), of the first 30 s of the result, Hz, 0 where unvoiced
    sampling_rate: int  # of the result, Hz
    hop_length: int  # samples per F0 frame


class Session:
    """The loaded voice model of a server."""

    def __init__(self) -> None:
        self.queue = JobQueue()  # jobs that use the model
        self.options: ConvertOptions | None = None  # those of the loaded model
        self._converter: SongConverter | None = None
        self._loaded: tuple[Any, ...] | None = None

    @property
    def config(self) -> Config | None:
        """Settings of the loaded model; None if none is loaded."""
        return self._converter.config if self._converter else None

    @property
    def device(self) -> str:
        """Device of the loaded model; empty if none is loaded."""
        return str(getattr(self._converter, "device", ""))

    @property
    def formats(self) -> dict[str, str]:
        """Number formats of the loaded networks by stage, with the options of the last conversion."""
        return self._converter.formats if self._converter else {}

    def load(self, options: ConvertOptions) -> BackgroundJob:
        """Queue loading the models that ``options`` name; the job's result is their ``Config``."""

        def work(job: BackgroundJob) -> Config:
            config = self._load(options, job).config
            self.options = options
            return config

        return self.queue.submit(work)

    def load_instant(self, recording: Path, options_of: Callable[[str], ConvertOptions]) -> BackgroundJob:
        """Queue making and loading the voice model of a recording; the job's result are its options.

        ``options_of`` gets the path of the model, relative to the project folder.
        """

        def work(job: BackgroundJob) -> ConvertOptions:
            from model_tools.instant import make_instant_voice

            job.enter(LISTENING, recording.name)
            try:
                options = options_of(make_instant_voice(recording).as_posix())
            except GlowSVCError as error:
                raise _of_upload(error, recording) from None
            self._load(options, job)
            self.options = options
            return options

        return self.queue.submit(work)

    def unload(self) -> None:
        """Free the memory of the loaded models; raises ConfigError while they are in use."""
        if len(self.queue):
            raise ConfigError("the model is in use; cancel that first, or wait until it is done")
        self._forget()

    def convert(self, options: ConvertOptions, tasks: Sequence[ConversionTask]) -> BackgroundJob:
        """Queue conversions; the job's result is a list with a ``ConvertedSong`` or GlowSVCError for each."""

        def work(converter: SongConverter, job: BackgroundJob) -> list[ConvertedSong | GlowSVCError]:
            return [
                self._convert(converter, task, job, number / len(tasks), 1 / len(tasks))
                for number, task in enumerate(tasks)
            ]

        return self.lend(options, work)

    def lend(
        self, options: ConvertOptions, work: Callable[[SongConverter, BackgroundJob], Any]
    ) -> BackgroundJob:
        """Queue ``work``, which has the model that ``options`` name to itself until it returns."""

        def run(job: BackgroundJob) -> Any:
            before = self.options
            converter = self._load(options, job)
            if before is not None and _voice(before) == _voice(options):
                self.options = before  # those of one request are not those of the next
            return work(converter, job)

        return self.queue.submit(run)

    def _load(self, options: ConvertOptions, job: BackgroundJob) -> SongConverter:
        if self._converter is not None and self._loaded == _models(options):
            self._converter.options = options
            return self._converter
        job.enter(LOADING, Path(options.voice_path).name)
        self._forget()
        try:
            if options.onnx:
                from inference.onnx.converter import OnnxConverter

                self._converter = OnnxConverter(options)
            else:
                from inference.converter import Converter

                self._converter = Converter(options)
        except BaseException:
            _free_memory()  # what was loaded before the failure
            raise
        self._loaded, self.options = _models(options), options
        return self._converter

    def _forget(self) -> None:
        self._converter = self.options = self._loaded = None
        _free_memory()

    def _convert(
        self, converter: SongConverter, task: ConversionTask, job: BackgroundJob, before: float, share: float
    ) -> ConvertedSong | GlowSVCError:
        job.enter(CONVERTING, task.song.name)
        task = replace(task, result=free_name(task.result))

        def progress(done: float, total: float) -> None:
            job.report(before + share * done / max(total, done, 1e-9))

        try:
            result = converter.convert(task.song, task.result, task.speaker, task.key, progress)
            job.enter(ANALYSING, task.song.name)
            return _finished(converter, task, result)
        except GlowSVCError as error:
            return _of_upload(error, task.song)
        except OSError as error:  # as no space left
            return AudioError(f"{task.result.name}: {error.strerror or error}")


def devices() -> list[str]:
    """Names of the devices of this machine that networks can run on."""
    import torch

    found = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return [*found, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def free_name(path: Path) -> Path:
    """``path``, numbered if it exists; it stays free because jobs with the model run one at a time."""
    from inference.output import LONGEST_NAME

    free, number = path, 1
    while free.exists():
        number += 1
        ending = f" ({number}){path.suffix}"
        stem = os.fsencode(path.stem)[: LONGEST_NAME - len(os.fsencode(ending))].decode(errors="ignore")
        free = path.with_name(stem + ending)
    return free


def _voice(options: ConvertOptions) -> tuple[str, ...]:
    return str(options.onnx), options.model_path, options.config_path, str(options.only_diffusion)


def _models(options: ConvertOptions) -> tuple[Any, ...]:
    """What cannot be changed without loading again."""
    from inference.voice_config import model_files

    paths = model_files(options)
    others = ["onnx", "enhances", "auto_predict_f0", "mute_unvoiced", "precision", "device"]
    if options.diffuses:
        others += ["diffusion_method", "diffusion_speedup", "k_step", "only_diffusion", "second_encoding"]
    times = [path.stat().st_mtime_ns for path in paths if path.is_file()]  # a training may replace them
    return (*paths, *times, *(getattr(options, name) for name in others))


def _finished(converter: SongConverter, task: ConversionTask, result: ConversionResult) -> ConvertedSong:
    from inference.oom import within_memory
    from inference.source import SourceAudio
    from modules.dsp.slicer import SliceRule

    config, options = converter.config, converter.options
    rate, hop = converter.sampling_rate, config.data.hop_length
    rule = SliceRule(threshold=options.slice_db)
    n_frames = round(min(SHOWN, result.seconds) * rate) // hop
    result_f0 = np.zeros(0, np.float32)
    if n_frames:
        with (
            within_memory(task.song, converter.device, options),
            SourceAudio(task.result, rate, task.result.parent, rule) as written,
        ):
            f0, uv = converter.f0_predictor.predict(written.read(0, n_frames * hop), n_frames)
            result_f0 = f0 * uv
    name = task.speaker if options.use_spk_mix else config.speaker_name(task.speaker)
    return ConvertedSong(task, str(name), result, result_f0, rate, hop)


def _of_upload(error: GlowSVCError, file: Path) -> GlowSVCError:
    """``error`` without the folder of an uploaded file."""
    return type(error)(str(error).replace(str(file), file.name))


def _free_memory() -> None:
    """Return unused memory to the system."""
    gc.collect()
    if torch := sys.modules.get("torch"):
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        elif torch.backends.mps.is_available():
            torch.mps.empty_cache()
    with contextlib.suppress(OSError, AttributeError, TypeError):  # only glibc has it
        ctypes.CDLL(None).malloc_trim(0)
