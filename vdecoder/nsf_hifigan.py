"""NSF-HiFiGAN from its published files, in natural log and in log10.

A vocoder needs the mel that it was trained on. Its config.json says which, and
is compared with the voice model's settings: a mismatch would degrade the audio
without an error.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from modules.checkpoint import SizeLimit, find_state_dict, load_weights, read_weights
from modules.common.errors import ConfigError, MissingWeightsError, sanitize
from modules.config import read_json
from modules.pretrained.weights import weights_path
from vdecoder.base import Vocoder
from vdecoder.clock import SourceStart, frame_cycles
from vdecoder.draws import initial_phase, source_noise
from vdecoder.generator import Generator, GeneratorConfig
from vdecoder.layers import fold_all

if TYPE_CHECKING:
    from modules.config import DataConfig

# field of config.json -> of DataConfig
_ANALYSIS = {
    "sampling_rate": "sampling_rate",
    "n_fft": "n_fft",
    "win_size": "win_length",
    "hop_size": "hop_length",
    "num_mels": "n_mels",
    "fmin": "f_min",
    "fmax": "f_max",
}


class NeuralVocoder(Vocoder):
    """A network with a sine source, and a config.json in the folder of its file; base of the neural vocoders.

    ``mel_scale`` leads from natural log to the logarithm that the network was trained on.
    bfloat16 is faster on processors with support for it.

    Raises:
        MissingWeightsError: The model or its config.json is missing.
        ConfigError: The vocoder was trained with other analysis settings, or its config.json is broken.
        CheckpointError: The model cannot be read, or does not fit its config.json.
    """

    _published: str  # key in modules/pretrained/weights.py

    def __init__(
        self,
        data_config: DataConfig,
        device: torch.device | str = "cpu",
        weights: Path | None = None,
        dtype: torch.dtype = torch.float32,
        mel_scale: float = 1.0,
    ) -> None:
        super().__init__(data_config, device, weights, dtype)
        self.mel_scale = mel_scale
        path = Path(weights) if weights is not None else weights_path(self._published)
        file, values = path.with_name("config.json"), side_config(path)
        compare_analysis(file, self._analysis(values), data_config)
        state = self._state(path)
        with SizeLimit(state, path, "Use the config.json it was published with."):
            network = self._build(values, file)
        if network.config.hop_length != self.hop_length:
            raise ConfigError(
                f"{file}: upsample_rates {list(network.config.upsample_rates)} are "
                f"{network.config.hop_length} samples per frame, but data.hop_length is {self.hop_length}"
            )
        load_weights(network, {**self._constants(network), **state}, path)
        fold_all(network)
        self.network = network.to(self.device).in_precision(dtype).eval().requires_grad_(False)

    @abstractmethod
    def _build(self, values: dict[str, Any], file: Path) -> Generator:
        """The network that the content of ``file`` describes; raises ConfigError."""

    @abstractmethod
    def _state(self, path: Path) -> dict[str, Tensor]:
        """Tensors of the model file, under the network's names; raises CheckpointError."""

    def _constants(self, network: Generator) -> dict[str, Tensor]:
        """Tensors of ``network`` that a file may leave out."""
        return {}

    def _analysis(self, values: dict[str, Any]) -> dict[str, Any]:
        """The analysis settings in a config.json."""
        return values

    def cycles(self, f0: Tensor, uv: Tensor) -> np.ndarray:
        """Cycles (N + 1,) of the sines, whose phase is constant where they are muted."""
        pitch = _sounding(f0, uv).cpu().double().numpy()
        return frame_cycles(pitch, self.hop_length, self.sampling_rate)

    def _synthesize(self, mel: Tensor, f0: Tensor, uv: Tensor, start: SourceStart) -> Tensor:
        """Audio within ±1."""
        audio = torch.empty(mel.shape[1] * self.hop_length, device=self.device)
        with torch.inference_mode():
            excitation = self.network.m_source(
                _sounding(f0, uv).unsqueeze(0),
                self.hop_length,
                self.sampling_rate,
                phase=torch.from_numpy(initial_phase(start)),
                noise=torch.from_numpy(source_noise(start, len(f0), self.hop_length)).unsqueeze(0),
            )
            mel = (mel * self.mel_scale).to(self.device).unsqueeze(0)
            return audio.copy_(self.network(mel, excitation.to(self.device))[0])


def _sounding(f0: Tensor, uv: Tensor) -> Tensor:
    """F0 (N,) of the sines, 0 where they are muted."""
    return torch.where(uv > 0.5, f0, 0.0).clamp(min=0)


class NsfHifigan(NeuralVocoder):
    """NSF-HiFiGAN as published by openvpi: ``{"generator": tensors}``."""

    _published = "nsf-hifigan"

    def _build(self, values: dict[str, Any], file: Path) -> Generator:
        return Generator(GeneratorConfig.read(values, file))

    def _state(self, path: Path) -> dict[str, Tensor]:
        return find_state_dict(read_weights(path, keep=("generator",)), path, "generator")


def side_config(path: Path) -> dict[str, Any]:
    """Content of the config.json beside a model file; raises MissingWeightsError or ConfigError."""
    file = path.with_name("config.json")
    if not file.is_file():
        raise MissingWeightsError(
            f"{file} is missing: {path.name} cannot be used without the config.json it was published with. "
            "Put it in the same folder."
        )
    return read_json(file)


def compare_analysis(file: Path, values: Mapping[str, Any], data_config: DataConfig) -> None:
    """Raise ConfigError if analysis settings differ from the voice model's; names all that do."""
    other = [
        f"{theirs} {sanitize(repr(values[theirs]))} (data.{ours} {getattr(data_config, ours)!r})"
        for theirs, ours in _ANALYSIS.items()
        if theirs in values and not _equal(values[theirs], getattr(data_config, ours))
    ]
    if other:
        raise ConfigError(
            f"{file}: this vocoder was trained with {', '.join(other)}. "
            "Use the vocoder that the voice model's data settings were made for."
        )


def _equal(theirs: Any, ours: float) -> bool:
    return isinstance(theirs, int | float) and abs(theirs - ours) < 1e-3
