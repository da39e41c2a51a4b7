"""Static mix: merge several models into one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from modules.common.errors import ConfigError, GlowSVCError
from modules.common.files import write_json
from modules.config import read_json
from webui.context import Context
from webui.flags import Flags, parser_of
from webui.language import in_language
from webui.menus import auto_refresh
from webui.paths import VOICE_MODELS, find_models, inside, plain_name

MOST = 8  # models at a time, each with a slider
OUTPUTS = ("trained", "logs", "checkpoints")  # folders that models are written to
_SUFFIXES = (".pth", ".pt", ".safetensors")


def build(context: Context) -> None:
    """Lay out the part."""
    text = context.text
    with gr.Row():
        models = gr.Dropdown(
            [],
            value=[],
            multiselect=True,
            max_choices=MOST,
            label=text("lab.models"),
            info=text("lab.models.info"),
            scale=4,
            min_width=240,
        )
        reload = gr.Button(text("common.refresh"), min_width=120)
    sliders = [gr.Slider(0, 100, value=50, step=1, visible=False) for _ in range(MOST)]
    shares = gr.Markdown()
    linear = gr.Checkbox(label=text("lab.mix.linear"), info=text("lab.mix.linear.info"))
    with gr.Row(elem_classes="options"):
        output = gr.Textbox(
            parser_of("mix_models").get_default("output"),
            label=text("compress_model.output"),
            info=text("lab.output.info"),
            max_lines=1,
            min_width=240,
        )
        copy = Flags(context, "mix_models", ["copy_config"])
        overwrite = gr.Checkbox(label=text("lab.overwrite"), info=text("lab.overwrite.info"), min_width=200)
    start = gr.Button(text("lab.mix.start"), variant="primary")
    done = gr.Markdown()

    def choose(chosen: list[str]) -> Any:
        names = [*chosen, *[""] * MOST][:MOST]
        return [gr.Slider(label=name or None, visible=bool(name)) for name in names]

    def show(request: gr.Request, chosen: list[str], linear: bool, *ratios: float) -> str:
        return describe_shares(chosen, ratios, not linear, in_language(request)("lab.mix.shares"))

    def mix(
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio's way
        *values: Any,
    ) -> str:
        from model_tools.merge import mix_models

        say = in_language(request)
        output, copy_config, overwrite, models, linear, *ratios = values
        paths = [context.root / inside(context.root, model, "a model") for model in models]
        result = output_path(context.root, output, overwrite)
        beside = result.with_name("config.json")
        if copy_config and beside.exists() and not overwrite:
            raise ConfigError(f"{beside.relative_to(context.root)} is there already; choose another folder")

        def report(n_done: int, n_models: int) -> None:
            progress((n_done, n_models), desc=say("lab.mixing"))

        mixed = mix_models(paths, ratios[: len(paths)], result, convex=not linear, progress=report)
        config = mixed.config_path
        if copy_config:
            write_json(beside, read_json(config))
            config = beside
        if mixed.advice:
            gr.Warning(mixed.advice)
        return say("lab.mixed").format(
            path=f"`{_relative(context.root, result)}`", config=f"`{_relative(context.root, config)}`"
        )

    auto_refresh((models, lambda: find_models(context.root, VOICE_MODELS)), button=reload)
    mixing = [models, linear, *sliders]
    context.on(models.change, choose, models, sliders, show_progress="hidden")
    changes = partial(gr.on, [models.change, linear.change, *(slider.change for slider in sliders)])
    context.on(changes, show, mixing, shares, show_progress="hidden")
    context.on(start.click, mix, [output, *copy.fields, overwrite, *mixing], done, concurrency_limit=1)


def describe_shares(models: Sequence[str], ratios: Sequence[float], convex: bool, title: str) -> str:
    """Share of each model in the result, or why they cannot be mixed, as Markdown."""
    from model_tools.merge import mix_weights

    if len(models) < 2:
        return ""
    try:
        weights = mix_weights(len(models), list(ratios[: len(models)]), convex)
    except GlowSVCError as error:
        return f"⚠ {error}"
    parts = (f"{weight:.1%} `{model}`" for weight, model in zip(weights, models, strict=True))
    return f"{title}: {', '.join(parts)}"


def output_path(root: Path, output: str | None, overwrite: bool = False) -> Path:
    """Path of a model to write.

    Raises:
        ConfigError: It is not a model in ``OUTPUTS`` or in the project folder itself, a name in it is not
            plain, or it exists and is not to be overwritten.
    """
    path = inside(root, output, "the name of the result")
    if path.suffix.lower() not in _SUFFIXES:
        raise ConfigError(f"{path} must end in {', '.join(_SUFFIXES)}")
    if not can_hold_models(path.parent):
        raise ConfigError(f"{path} must be in {', '.join(OUTPUTS)} or in the project folder itself")
    for name in path.parts:
        plain_name(name, f"each part of {path}")
    if (root / path).exists() and not overwrite:
        raise ConfigError(f"{path} exists; choose another name, or tick Overwrite")
    return root / path


def can_hold_models(folder: Path) -> bool:
    """Whether models may be written to a folder, which is relative to the project."""
    return not folder.parts or folder.parts[0] in OUTPUTS


def _relative(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
