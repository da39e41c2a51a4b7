"""Which parts of a voice model fit together: its configuration, speech encoder and diffusion model.

Conversion and export ask here, before any weights are read. A vocoder compares
its own analysis settings when it is built.
"""

from __future__ import annotations

from pathlib import Path

from diffusion.config import DiffusionConfig
from modules.common.errors import ConfigError
from modules.config import Config, DataConfig, ModelConfig
from vencoder import ENCODERS


def as_voice_config(config: DiffusionConfig) -> Config:
    """A diffusion model's configuration in the form of config.json, for conversion without a Glow model."""
    data, model = config.data, config.model
    return Config(
        data=DataConfig(
            sampling_rate=data.sampling_rate,
            hop_length=data.hop_length,
            n_mels=data.n_mels,
            unit_interpolate_mode=data.unit_interpolate_mode,
        ),
        model=ModelConfig(
            inter_channels=data.n_mels,
            n_speakers=model.n_spk,
            ssl_dim=data.ssl_dim,
            speech_encoder=data.speech_encoder,
            vocoder_name=config.vocoder.type,
            use_automatic_f0_prediction=False,
        ),
        spk=config.spk,
    )


def check_encoder(voice: Config) -> None:
    """Refuse a configuration whose speech encoder gives units of another width.

    Raises:
        ConfigError: Unknown encoder, or its width differs from ``model.ssl_dim``.
    """
    name, ssl_dim = voice.model.speech_encoder, voice.model.ssl_dim
    if ENCODERS[name].ssl_dim != ssl_dim:
        raise ConfigError(
            f"the configuration wants units of {ssl_dim} channels, but encoder {name!r} "
            f"gives {ENCODERS[name].ssl_dim}. Use the config.json saved beside the checkpoint"
        )


def check_diffusion(diffusion: DiffusionConfig, voice: Config, source: str | Path) -> None:
    """Refuse a diffusion model, read from ``source``, without speaker ids or made for other mels or units.

    ``voice`` is its own configuration if it works alone.

    Raises:
        ConfigError: Names the first setting that differs, with both values.
    """
    if diffusion.model.use_speaker_encoder:
        raise ConfigError(
            f"{source}: this diffusion model knows speakers by embeddings of a speaker encoder "
            "(model.use_speaker_encoder), which Glow-SVC does not have; use one trained with speaker ids"
        )
    ours = as_voice_config(diffusion)
    settings = {
        "sampling_rate": (ours.data.sampling_rate, voice.data.sampling_rate),
        "hop length (block_size)": (ours.data.hop_length, voice.data.hop_length),
        "number of mel bins": (ours.data.n_mels, voice.data.n_mels),
        "speech encoder": (ours.model.speech_encoder, voice.model.speech_encoder),
        "unit channels": (ours.model.ssl_dim, voice.model.ssl_dim),
    }
    for name, (found, wanted) in settings.items():
        if found != wanted:
            raise ConfigError(
                f"{source} does not fit the voice model: its {name} is {found}, the voice model's is "
                f"{wanted}. Use a diffusion model trained on the same data set"
            )
