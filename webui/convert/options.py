"""Fields of the page for every setting of a conversion, made from ``ConvertOptions``.

Names, defaults, choices and English help come from there; only labels, the
Chinese and the order are added here. A test sees to it that none is forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, get_args, get_type_hints

import gradio as gr

from inference.options import ConvertOptions
from modules.common.errors import ConfigError
from webui.context import Context

# folded groups, in the order of the page
GROUPS: dict[str, tuple[str, ...]] = {
    "pitch": ("f0_filter_threshold", "auto_predict_f0"),
    "timbre": (
        "noise_scale",
        "cluster_infer_ratio",
        "cluster_model_path",
        "feature_retrieval",
        "enhance",
        "enhancer_adaptive_key",
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
    "singers": ("use_spk_mix", "spk_mix_file"),
    "output": ("wav_format", "precision"),
}
FIRST = ("spk_list", "trans", "f0_predictor")  # seen at once
VOICE = ("model_path", "config_path", "onnx", "device")  # chosen where a voice is loaded
SONGS = ("clean_names",)

_FIELDS = {option.name: option for option in fields(ConvertOptions)}
_KINDS = get_type_hints(ConvertOptions)


def default(name: str) -> Any:
    """Return what an option is if nobody says otherwise."""
    return _FIELDS[name].default


def option_texts(rows: Mapping[str, tuple[str, str, str]]) -> dict[str, tuple[str, str]]:
    """Return the texts of the options' fields.

    Args:
        rows: By name of the option: English label, Chinese label, Chinese help.
    """
    texts = {}
    for name, (label, label_zh, help_zh) in rows.items():
        texts[f"option.{name}"] = label, label_zh
        texts[f"option.{name}.help"] = _FIELDS[name].metadata["help"], help_zh
    return texts


def field(context: Context, name: str, choices: Sequence[Any] | None = None, **settings: Any) -> Any:
    """Return the component of one option.

    Args:
        context: What every tab gets.
        name: Of the option.
        choices: What it may be, where that is only known here; other values may be typed.
        settings: For the component, instead of what follows from the option.
    """
    kind, some = _KINDS[name], _FIELDS[name].metadata["choices"]
    shown: dict[str, Any] = {
        "label": context.text(f"option.{name}"),
        "info": context.text(f"option.{name}.help"),
        "value": default(name),
        "min_width": 200,
        **settings,
    }
    if kind is bool:
        return gr.Checkbox(**shown)
    if some or choices is not None:
        free = {"allow_custom_value": True} if choices is not None else {}
        blank = [""] if default(name) == "" and some else []
        return gr.Dropdown([*blank, *(some if choices is None else choices)], **{**free, **shown})
    if kind is str or default(name) is None:  # an empty number would be shown as 0
        shown["value"] = shown["value"] or ""
        return gr.Textbox(max_lines=1, **shown)
    whole = int in (kind, *get_args(kind))
    return gr.Number(precision=0 if whole else None, **shown)


def read_options(values: Mapping[str, Any]) -> ConvertOptions:
    """Return the options that fields, or a program, give by name.

    A number that was left empty is the default; lists become tuples.

    Raises:
        ConfigError: There is no such option, or a value is wrong; names it.
    """
    cleaned: dict[str, Any] = {}
    for name, value in values.items():
        if name not in _FIELDS:
            raise ConfigError(f"there is no option {name!r}; the options are: {', '.join(sorted(_FIELDS))}")
        given = default(name) if value is None else value
        cleaned[name] = _converted(name, given)
    return ConvertOptions(**cleaned)


def _converted(name: str, value: Any) -> Any:
    kind = _KINDS[name]
    inner = get_args(kind)
    try:
        if isinstance(default(name), tuple):
            items = value if isinstance(value, list | tuple) else [value]
            return tuple(inner[0](item) for item in items)
        if kind is bool:
            if not isinstance(value, bool):
                raise ValueError
            return value
        if value is None or (value == "" and type(None) in inner):
            return None
        plain = inner[0] if inner else kind
        if isinstance(value, bool) or (plain is int and int(value) != float(value)):
            raise ValueError
        return plain(value)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"{_FIELDS[name].metadata['flags'][-1]}: {value!r} is not what it can be") from None
