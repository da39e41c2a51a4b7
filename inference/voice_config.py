"""The configuration of the models that the options name.

A conversion reads one form, that of config.json, whether it uses a Glow model
or a diffusion model alone. A model's configuration is the one beside it, unless the
options name another: that of another run would give the voice a wrong name.
"""

from __future__ import annotations

from pathlib import Path

from diffusion.compatibility import as_voice_config, check_diffusion
from diffusion.config import DiffusionConfig, load_diffusion_config
from inference.options import ConvertOptions
from modules.common.errors import ConfigError
from modules.config import Config, load_config

# by the option of a configuration: that of its model, and the names of the file beside it
_BESIDE = {
    "config_path": ("model_path", ("config.json", "*.json")),
    "diffusion_config_path": ("diffusion_model_path", ("config.yaml", "*.yaml")),
}


def find_config(model: str | None, option: str) -> str:
    """Path of the configuration beside a model; empty if there is none, or several.

    ``option`` is the one that names it: "config_path" or "diffusion_config_path".
    """
    folder = Path(model).parent if model else None
    if folder is None or not folder.is_dir():
        return ""
    named, pattern = _BESIDE[option][1]
    if (folder / named).is_file():
        return (folder / named).as_posix()
    others = sorted(folder.glob(pattern))
    return others[0].as_posix() if len(others) == 1 else ""


def model_files(options: ConvertOptions) -> list[Path]:
    """Models and configurations that the options name; configurations that are missing are left out."""
    used = [] if options.onnx or options.only_diffusion else ["config_path"]
    used += ["diffusion_config_path"] if options.diffuses else []
    found = []
    for option in used:
        model = getattr(options, _BESIDE[option][0])
        found += [model, getattr(options, option) or find_config(model, option)]
    return [Path(path) for path in found if path]


def load_voice(options: ConvertOptions) -> tuple[Config, DiffusionConfig | None]:
    """Load the configuration of the voice model, and that of the diffusion model if the options use one.

    Raises:
        ConfigError: A file is missing or wrong, or the two do not fit together.
    """
    if not options.diffuses:
        return load_config(_path(options, "config_path")), None
    path = _path(options, "diffusion_config_path")
    diffusion = load_diffusion_config(path)
    voice = (
        as_voice_config(diffusion) if options.only_diffusion else load_config(_path(options, "config_path"))
    )
    check_diffusion(diffusion, voice, path)
    return voice, diffusion


def _path(options: ConvertOptions, option: str) -> str:
    model, (name, _) = getattr(options, _BESIDE[option][0]), _BESIDE[option][1]
    path = getattr(options, option) or find_config(model, option)
    if not path:
        flag = ConvertOptions.__dataclass_fields__[option].metadata["flags"][0]
        raise ConfigError(f"there is no {name} beside {model}; name its configuration with {flag}")
    return path
