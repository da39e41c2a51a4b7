"""Stages that convert a stem: loading the voice model only when one of them is not known yet."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cluster import default_path
from inference.conversion import PitchFiles
from inference.cover.stems import Report
from inference.options import ConvertOptions
from inference.pitch.song import given_curve
from inference.voice_config import load_voice, model_files
from modules.common.errors import ConfigError
from modules.config import Config
from modules.pretrained.weights import file_fingerprint
from separation.base import RATE

if TYPE_CHECKING:
    from inference.pipeline import SongConverter

VOICE, F0 = "voice.wav", "f0.npy"
# do not change the sound, or are part of a stage's name already
_LEFT_OUT = ("clean_names", "trans", "spk_list", "wav_format", "device", "f0_file", "write_f0")

logger = logging.getLogger(__name__)


class CoverVoice:
    """The voice model that the options name.

    ``load`` builds its converter, and is called when the first stem is converted.

    Raises:
        ConfigError: The configuration of the model is missing or wrong.
    """

    def __init__(self, options: ConvertOptions, load: Callable[[ConvertOptions], SongConverter]) -> None:
        self.options = replace(options, wav_format="wav")
        self._load = load

    @cached_property
    def converter(self) -> SongConverter:
        """Converter of the model, loaded on first use."""
        return self._load(self.options)

    @cached_property
    def config(self) -> Config:
        """Configuration of the model."""
        if self.options.onnx:
            from modules.onnx.manifest import read_manifest

            config = read_manifest(self.options.onnx).config
        else:
            config = load_voice(self.options)[0]
        if config.data.sampling_rate != RATE:
            raise ConfigError(
                f"covers are made at {RATE} Hz, and this model has {config.data.sampling_rate} Hz"
            )
        return config

    def made_by(self) -> dict[str, Any]:
        """What of the model and its options changes the sound, as plain values."""
        options = {name: value for name, value in asdict(self.options).items() if name not in _LEFT_OUT}
        files = model_files(self.options)
        if self.options.onnx:
            files = sorted(path for path in Path(self.options.onnx).iterdir() if path.is_file())
        if self.options.blends:
            named = self.options.cluster_model_path
            files.append(Path(named) if named else default_path(self.options.blends, self.options.voice_path))
        return {
            "options": options,
            "files": [file_fingerprint(path) for path in files if path.is_file()],
        }

    def track(self, stem: Path, folder: Path, f0_file: Path | None) -> None:
        """Write the F0 (N,), Hz, 0 where unvoiced, of a stem to ``folder``: of ``f0_file``, else tracked.

        Raises:
            ConfigError: The file is wrong.
        """
        converter = self.converter
        with converter.open_song(stem, folder) as source:
            n_frames = source.n_samples // self.config.data.hop_length
            given = given_curve(None, PitchFiles(f0_file), n_frames, converter.frame_rate)
            np.save(folder / F0, converter.track_pitch(source, converter.plan(source), given))

    def convert(
        self,
        stem: Path,
        folder: Path,
        speaker: str,
        key: float,
        report: Report,
        f0: np.ndarray | None = None,
    ) -> None:
        """Write the conversion of a stem, and its F0 (N,), Hz, 0 where unvoiced, to ``folder``.

        ``f0`` is that of :meth:`track`; without it, the F0 predictor's.
        """
        result = self.converter.convert(stem, folder / VOICE, speaker, key, report, "FLOAT", curve=f0)
        np.save(folder / F0, result.f0)
