"""The configuration of the models that the options name.

A conversion reads one form, that of config.json, whether it uses a Glow model
or a diffusion model alone.
"""

from __future__ import annotations

from diffusion.compatibility import as_voice_config, check_diffusion
from diffusion.config import DiffusionConfig, load_diffusion_config
from inference.options import ConvertOptions
from modules.config import Config, load_config


def load_voice(options: ConvertOptions) -> tuple[Config, DiffusionConfig | None]:
    """Load the configuration of the voice model, and that of the diffusion model if the options use one.

    Raises:
        ConfigError: A file is missing or wrong, or the two do not fit together.
    """
    if not options.diffuses:
        return load_config(options.config_path), None
    path = options.diffusion_config_path
    diffusion = load_diffusion_config(path)
    voice = as_voice_config(diffusion) if options.only_diffusion else load_config(options.config_path)
    check_diffusion(diffusion, voice, path)
    return voice, diffusion
