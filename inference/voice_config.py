"""Which voice sings: the settings of the models that the options name, and whether they fit together.

The parts of a conversion are told of a voice in one form, that of config.json,
whether a Glow model sings or a diffusion model alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from diffusion.config import DiffusionConfig, load_diffusion_config
from modules.common.errors import ConfigError
from modules.config import Config, DataConfig, ModelConfig, load_config

if TYPE_CHECKING:
    from inference.options import ConvertOptions


def load_voice(options: ConvertOptions) -> tuple[Config, DiffusionConfig | None]:
    """Return the settings of the voice, and those of the diffusion model that takes part, if one does.

    Raises:
        ConfigError: A file is missing or wrong, or the two do not fit together.
    """
    diffusion = load_diffusion_config(options.diffusion_config_path) if options.diffuses else None
    if diffusion is not None and options.only_diffusion:
        check_speakers(diffusion)
        return voice_of(diffusion), diffusion
    voice = load_config(options.config_path)
    if diffusion is not None:
        check_fit(diffusion, voice)
    return voice, diffusion


def voice_of(config: DiffusionConfig) -> Config:
    """Return a diffusion model's configuration in the form of a voice's: for it alone is one."""
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


def check_fit(config: DiffusionConfig, voice: Config) -> None:
    """Refuse a diffusion model made for other mels or other units than the voice.

    Raises:
        ConfigError: Names the first setting that differs, with both values.
    """
    theirs = voice_of(config)
    pairs = {
        "sampling_rate": (theirs.data.sampling_rate, voice.data.sampling_rate),
        "hop length (block_size)": (theirs.data.hop_length, voice.data.hop_length),
        "number of mel bins": (theirs.data.n_mels, voice.data.n_mels),
        "speech encoder": (theirs.model.speech_encoder, voice.model.speech_encoder),
        "unit channels": (theirs.model.ssl_dim, voice.model.ssl_dim),
    }
    for name, (wanted, found) in pairs.items():
        if wanted != found:
            raise ConfigError(
                f"the diffusion model and the voice do not fit together: its {name} is {wanted}, "
                f"the voice's is {found}. Use a diffusion model trained on the same data set"
            )
    check_speakers(config)


def check_speakers(config: DiffusionConfig) -> None:
    """Refuse a diffusion model whose voices have no ids; raises ConfigError."""
    if config.model.use_speaker_encoder:
        raise ConfigError(
            "this diffusion model knows voices by embeddings of a speaker encoder "
            "(model.use_speaker_encoder), which Glow-SVC does not have; use one trained with speaker ids"
        )


def speaker_ids(config: DiffusionConfig, voice: Config) -> Mapping[int, int]:
    """Return the diffusion model's ids by the voice's: by name, or as they are where there are no names."""
    n_spk = config.model.n_spk
    if n_spk == 1 and not config.spk:  # whoever it is, it serves all
        return dict.fromkeys(voice.spk.values() or range(voice.model.n_speakers), 0)
    if not config.spk:
        return {number: number for number in range(n_spk)}
    if not voice.spk:
        return {number: number for number in config.spk.values()}
    return {number: config.spk[name] for name, number in voice.spk.items() if name in config.spk}
