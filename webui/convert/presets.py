"""Presets on the Convert tab: all fields from a file, and to one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from inference.options.checks import AUTO_KEY
from inference.options.preset import NOT_KEPT, preset_names, read_preset, write_preset
from webui.context import Context
from webui.convert.voice_model import selected_options
from webui.language import in_language
from webui.menus import auto_refresh
from webui.uploads import check_paths


def build_presets(context: Context, refresh: gr.Button) -> tuple[gr.Dropdown, gr.Button, gr.HTML]:
    """Lay out the menu of presets, the button that saves one, and a line of status."""
    text = context.text
    with gr.Accordion(text("convert.presets"), open=False), gr.Row():
        name = gr.Dropdown(
            [],
            label=text("convert.preset"),
            info=text("convert.preset.help"),
            allow_custom_value=True,
            min_width=280,
        )
        save = gr.Button(text("convert.preset.save"), min_width=140)
    status = gr.HTML()
    auto_refresh((name, lambda: preset_names(context.root)), button=refresh)
    return name, save, status


def wire_presets(
    context: Context, parts: tuple[gr.Dropdown, gr.Button, gr.HTML], fields: Mapping[str, Any]
) -> None:
    """Let a preset fill ``fields``, by name of the option, and be written from them."""
    name, save, status = parts
    names = list(fields)

    def apply(chosen: str | None) -> list[Any]:
        if not chosen or chosen not in preset_names(context.root):
            return [gr.skip() for _ in names]  # a new name is being typed
        return page_values(context, chosen, names)

    def store(request: gr.Request, chosen: str | None, *values: Any) -> tuple[str, Any]:
        options = selected_options(context, dict(zip(names, values, strict=True)))
        path = write_preset(chosen or "", options, context.root)
        found = in_language(request)("convert.preset.saved").format(file=path.name)
        return f"<p>{found}</p>", gr.Dropdown(choices=preset_names(context.root))

    context.on(name.input, apply, name, list(fields.values()), show_progress="hidden")
    context.on(save.click, store, [name, *fields.values()], [status, name], show_progress="hidden")


def page_values(context: Context, preset: str, names: Sequence[str]) -> list[Any]:
    """Values of the fields ``names`` for a preset; what it does not hold stays.

    Raises:
        ConfigError: The file is wrong, or names a file outside the project.
    """
    from inference.options import ConvertOptions

    values = read_preset(preset, context.root)
    options = check_paths(context.root, ConvertOptions(**values))
    found: list[Any] = []
    for name in names:
        if name == "auto_key":
            found.append(options.trans[0] == AUTO_KEY)
        elif name == "trans":
            found.append(gr.skip() if options.trans[0] == AUTO_KEY else options.trans[0])
        elif name in NOT_KEPT or name not in values:
            found.append(gr.skip())
        else:
            value = getattr(options, name)
            found.append(list(value) if isinstance(value, tuple) else value)
    return found
