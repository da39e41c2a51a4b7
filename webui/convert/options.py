"""Fields of the page for all options of a conversion, made from ``ConvertOptions``.

Names, defaults, choices and English help come from there; the page adds labels,
Chinese texts and the order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, get_args

from inference.options import ConvertOptions
from inference.options.values import KINDS, convert_value
from modules.common.errors import ConfigError
from webui.context import Context
from webui.flags import build_field

# folded groups, in the order of the page
GROUPS: dict[str, tuple[str, ...]] = {
    "pitch": ("autotune", "scale", "f0_filter_threshold", "auto_predict_f0"),
    "timbre": (
        "formant",
        "protect",
        "noise_scale",
        "cluster_infer_ratio",
        "cluster_model_path",
        "feature_retrieval",
        "enhance",
        "enhancer_adaptive_key",
        "mute_unvoiced",
    ),
    "diffusion": (
        "shallow_diffusion",
        "diffusion_model_path",
        "diffusion_config_path",
        "k_step",
        "only_diffusion",
        "second_encoding",
        "diffusion_method",
        "diffusion_speedup",
    ),
    "loudness": (
        "slice_db",
        "clip",
        "linear_gradient",
        "linear_gradient_retain",
        "pad_seconds",
        "loudness_envelope_adjustment",
    ),
    "mix": ("use_spk_mix", "spk_mix_file"),
    "output": ("preview", "wav_format", "precision"),
}
MAIN = ("spk_list", "trans", "f0_predictor")  # not folded
MODEL = ("model_path", "config_path", "onnx", "device")  # in the first step
# files beside a song on the command line: the page has uploads, and programs name no files of the server
ELSEWHERE = ("clean_names", "f0_file", "write_f0", "midi", "write_midi")
_STEPS = {"autotune": 0.05, "protect": 0.05, "formant": 0.5}  # of sliders

# without "reference": the page and its API make the model of an instant voice first
_FIELDS = {option.name: option for option in fields(ConvertOptions) if option.name != "reference"}


def default(name: str) -> Any:
    """Default of an option."""
    return _FIELDS[name].default


def field(context: Context, name: str, choices: Sequence[Any] | None = None, **settings: Any) -> Any:
    """Component for one option, with ``settings`` that replace its own.

    ``choices`` are suggestions where the option itself lists none; other values may be typed.
    """
    kind, known, value = KINDS[name], _FIELDS[name].metadata["choices"], default(name)
    if choices is not None:
        settings = {"allow_custom_value": True, **settings}
    elif known:
        choices = [*([""] if value == "" else []), *known]
    kinds = {str} if value is None else {kind, *get_args(kind)}  # a number field would show None as 0
    kinds = {float} if _FIELDS[name].metadata["parse"] else kinds  # a key, which is chosen beside it
    kind = next(plain for plain in (bool, str, int, float) if plain in kinds)
    if name in _STEPS:
        low, high = _FIELDS[name].metadata["within"]
        settings |= {"minimum": low, "maximum": high, "step": _STEPS[name]}
    text = {"label": context.text(f"option.{name}"), "info": context.text(f"option.{name}.help")}
    return build_field(kind, settings.pop("value", value), choices, **text, **settings)


def read_options(values: Mapping[str, Any]) -> ConvertOptions:
    """Options from the values of fields, or of a program, by name.

    An empty number becomes the default; lists become tuples.

    Raises:
        ConfigError: An option does not exist, or its value is wrong.
    """
    cleaned: dict[str, Any] = {}
    for name, value in values.items():
        if name not in _FIELDS:
            raise ConfigError(f"there is no option {name!r}; the options are: {', '.join(sorted(_FIELDS))}")
        given = default(name) if value is None else value
        if name in ELSEWHERE and given != default(name):
            raise ConfigError(f"{_FIELDS[name].metadata['flags'][-1]} is an option of the command line alone")
        cleaned[name] = convert_value(name, given)
    return ConvertOptions(**cleaned)
