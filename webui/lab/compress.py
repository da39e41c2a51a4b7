"""Compression: a trained model without the training state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from webui.context import Context
from webui.flags import Flags
from webui.lab.mix import OUTPUTS, can_hold_models, output_path
from webui.language import in_language
from webui.menus import auto_refresh
from webui.paths import find_models, inside, served_path

_DECIBELS = 8.686  # of a natural logarithm of a magnitude


def build(context: Context) -> None:
    """Lay out the part."""
    text = context.text
    with gr.Row():
        model = gr.Dropdown([], label=text("lab.model"), scale=4, min_width=240)
        reload = gr.Button(text("common.refresh"), min_width=120)
    with gr.Row(elem_classes="options"):
        flags = Flags(context, "compress_model", ["half", "output", "config"])
        overwrite = gr.Checkbox(label=text("lab.overwrite"), info=text("lab.overwrite.info"), min_width=200)
    start = gr.Button(text("lab.compress.start"), variant="primary")
    done = gr.Markdown()
    file = gr.File(label=text("convert.result"), interactive=False, visible=False)

    def compress(
        request: gr.Request, model: str, half: bool, output: str, config: str, overwrite: bool
    ) -> Any:
        message, path = compress_with_report(
            context.root, model, half, output, config, overwrite, request=request
        )
        return message, gr.File(served_path(context.root, path), visible=True)

    auto_refresh((model, lambda: find_models(context.root)), button=reload)
    context.on(start.click, compress, [model, *flags.fields, overwrite], [done, file], concurrency_limit=1)


def compress_with_report(
    root: Path,
    model: str | None,
    half: bool,
    output: str,
    config: str,
    overwrite: bool = False,
    request: gr.Request | None = None,
) -> tuple[str, Path]:
    """Compress a model of the project; return a report as Markdown, and the file.

    Raises:
        GlowSVCError: See :func:`model_tools.compress.compress_model` and :func:`output_path`; a path leads
            out of the project.
    """
    from model_tools.compress import compress_model

    source = root / inside(root, model, "a model")
    beside = source.with_stem(f"{source.stem}_release").relative_to(root)
    named = beside if can_hold_models(beside.parent) else Path(OUTPUTS[0]) / beside.name
    result = output_path(root, output or str(named), overwrite)
    config_path = root / inside(root, config) if config else None
    done = compress_model(source, result, config_path, half)
    say = in_language(request)
    path = result.relative_to(root).as_posix()
    before, after = done.before / 1e6, done.after / 1e6  # MB
    lines = [say("lab.compress.done").format(path=f"`{path}`", kind=done.kind, before=before, after=after)]
    if done.config_path:
        fitting = done.config_path.relative_to(root).as_posix()
        lines.append(say("lab.compress.fits").format(path=f"`{fitting}`"))
    else:
        lines.append(say("lab.compress.unknown"))
    if done.mel_change:
        mean, most = (_DECIBELS * change for change in done.mel_change)
        lines.append(say("lab.compress.change").format(mean=mean, most=most))
    return " ".join(lines), result
