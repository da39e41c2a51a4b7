"""NSF-HiFiGAN from its published files, in natural log and in log10.

A vocoder only knows the mel it was trained on. Its config.json says which that
was, and is compared with the voice's own settings before a sound is made:
a mismatch would still sound, and nobody would know why so badly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from modules.checkpoint import load_weights, read_weights, state_of
from modules.common.errors import ConfigError, MissingWeightsError
from modules.pretrained.weights import weights_path
from vdecoder.base import Vocoder
from vdecoder.draws import source_generator
from vdecoder.generator import Generator, GeneratorConfig
from vdecoder.layers import fold_all

if TYPE_CHECKING:
    from modules.config import DataConfig

# field of config.json -> of DataConfig
ANALYSIS = {
    "sampling_rate": "sampling_rate",
    "n_fft": "n_fft",
    "win_size": "win_length",
    "hop_size": "hop_length",
    "num_mels": "n_mels",
    "fmin": "f_min",
    "fmax": "f_max",
}


class NeuralVocoder(Vocoder):
    """A network between a sine source and the sound; what the neural vocoders share.

    Attributes:
        network: With weight norm folded, in ``dtype``, without gradients.
        mel_scale: From natural log to the logarithm that the network was trained on.
    """

    network: Generator
    mel_scale = 1.0

    def _install(self, network: Generator, state: dict[str, Tensor], source: Path) -> None:
        """Fill ``network`` with published tensors and make it ready to run.

        Raises:
            CheckpointError: The tensors do not fit.
        """
        load_weights(network, state, source)
        fold_all(network)
        self.network = network.in_precision(self.dtype).eval().requires_grad_(False).to(self.device)

    def _synthesize(self, mel: Tensor, f0: Tensor, uv: Tensor) -> Tensor:
        """Return the sound, within ±1."""
        audio = torch.empty(mel.shape[1] * self.hop_length, device=self.device)
        with torch.inference_mode():
            voiced = torch.where(uv > 0.5, f0, 0.0).clamp(min=0)
            excitation = self.network.m_source(
                voiced.unsqueeze(0), self.hop_length, self.sampling_rate, source_generator()
            )
            mel = (mel * self.mel_scale).to(self.device).unsqueeze(0)
            return audio.copy_(self.network(mel, excitation.to(self.device))[0])


class NsfHifigan(NeuralVocoder):
    """NSF-HiFiGAN as openvpi publishes it: ``{"generator": tensors}`` and a config.json beside it.

    Args:
        data_config: The analysis settings of the mel.
        device: Where the network runs and the audio is put.
        weights: The model file; None takes pretrain/nsf_hifigan/model.
        dtype: Precision of the convolutions. bfloat16 pays on processors that have it.
        mel_scale: See :class:`NeuralVocoder`.

    Raises:
        MissingWeightsError: The model or its config.json is not there.
        ConfigError: The vocoder was trained with other analysis settings, or its config.json is broken.
        CheckpointError: The model cannot be read, or does not fit its config.json.
    """

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
        path = Path(weights) if weights is not None else weights_path("nsf-hifigan")
        file, values = side_config(path)
        compare_analysis(file, values, ANALYSIS, data_config)
        config = GeneratorConfig.read(values, file)
        check_hop(file, config, data_config)
        state = state_of(read_weights(path, keep=("generator",)), path, "generator")
        self._install(Generator(config), state, path)


def side_config(path: Path) -> tuple[Path, dict[str, Any]]:
    """Return the config.json that belongs to a model file, and its content.

    Raises:
        MissingWeightsError: It is not there.
        ConfigError: It is not a JSON object.
    """
    file = path.parent / "config.json"
    if not file.is_file():
        raise MissingWeightsError(
            f"{file} is missing: {path.name} cannot be used without the config.json it was published with. "
            "Put it into the same folder."
        )
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read as JSON: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{file} holds no JSON object: it is not the configuration of a vocoder")
    return file, values


def compare_analysis(
    file: Path, values: Mapping[str, Any], names: Mapping[str, str], data_config: DataConfig
) -> None:
    """Raise ConfigError if the vocoder's analysis settings differ from the voice's; name them all."""
    other = [
        f"{theirs} {values[theirs]!r} (data.{ours} {getattr(data_config, ours)!r})"
        for theirs, ours in names.items()
        if theirs in values and not _equal(values[theirs], getattr(data_config, ours))
    ]
    if other:
        raise ConfigError(
            f"{file}: this vocoder was trained with {', '.join(other)}. "
            "Use the vocoder that the voice's data settings were made for."
        )


def check_hop(file: Path, config: GeneratorConfig, data_config: DataConfig) -> None:
    """Raise ConfigError if the network does not make one hop of sound per frame."""
    if config.hop_length != data_config.hop_length:
        raise ConfigError(
            f"{file}: upsample_rates {list(config.upsample_rates)} make {config.hop_length} samples a frame, "
            f"but data.hop_length is {data_config.hop_length}"
        )


def _equal(theirs: Any, ours: float) -> bool:
    return isinstance(theirs, int | float) and abs(theirs - ours) < 1e-3
