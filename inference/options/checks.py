"""Checks of the values of options, against their ranges and each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from modules.common.errors import ConfigError
from modules.common.precision import PRECISIONS
from modules.f0_predictor import F0_PREDICTORS

if TYPE_CHECKING:
    from inference.options import ConvertOptions

AUTO_KEY = "auto"  # instead of semitones
Key = float | str  # semitones, or AUTO_KEY


def check(options: ConvertOptions) -> None:
    """Raise ConfigError for a value that is out of its range, or contradicts another; names the flag."""
    for option in fields(options):
        if option.metadata["within"]:
            low, high = option.metadata["within"]
            value = getattr(options, option.name)
            for number in value if isinstance(value, tuple) else (value,):
                if option.name == "trans" and number == AUTO_KEY:
                    continue
                if not low <= number <= high:  # NaN is refused too
                    flag = option.metadata["flags"][0]
                    raise ConfigError(f"{flag} must be between {low:g} and {high:g}, not {number}")
    if 0 < options.clip < options.linear_gradient:
        raise ConfigError(
            f"-lg: a cross-fade of {options.linear_gradient} s does not fit into slices of {options.clip} s; "
            "shorten it or lengthen --clip"
        )
    if not 0 < options.linear_gradient_retain <= 1:
        raise ConfigError(f"-lgr must be above 0 and at most 1, not {options.linear_gradient_retain}")
    if options.reference:
        _check_reference(options)
    F0_PREDICTORS[options.f0_predictor]  # raises if there is no such predictor
    if options.second_encoding and not options.diffuses:
        raise ConfigError("-se belongs to shallow diffusion; add -shd, or remove -se")
    if options.k_step < 1:
        raise ConfigError(f"-ks must be at least 1, not {options.k_step}; without -shd nothing is refined")
    if options.diffusion_speedup is not None and options.diffusion_speedup < 1:
        raise ConfigError(f"--diffusion_speedup must be at least 1, not {options.diffusion_speedup}")
    if options.precision not in PRECISIONS:
        raise ConfigError(f"-pr must be one of {', '.join(PRECISIONS)}, not {options.precision!r}")
    if options.formant and options.auto_predict_f0:
        raise ConfigError(
            "--formant needs the pitch that is sung, but with -a the model chooses it; remove one"
        )
    from inference.pitch.scale import parse_scale  # not for --help

    parse_scale(options.scale)  # raises if there is no such scale


def _check_reference(options: ConvertOptions) -> None:
    """Raise ConfigError if another option names the voice model, too."""
    others = ("onnx", "only_diffusion", "model_path", "config_path")
    for option in (options.__dataclass_fields__[name] for name in others):
        if getattr(options, option.name) != option.default:
            flag = option.metadata["flags"][0]
            raise ConfigError(f"--reference makes the voice model, a Glow model of PyTorch; remove {flag}")


def check_keys(keys: Sequence[Key], n_songs: int) -> None:
    """Raise ConfigError unless there is one key for all songs, or one for each."""
    if len(keys) not in (1, n_songs):
        raise ConfigError(f"-t has {len(keys)} keys for {n_songs} song(s); give one for all, or one for each")
