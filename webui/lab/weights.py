"""Pretrained weights: their table, and the download."""

from __future__ import annotations

import importlib

import gradio as gr

from modules.common.errors import ConfigError
from modules.pretrained.weights import WEIGHTS, find_weights
from webui.context import Context
from webui.jobs.panel import Panel
from webui.language import Say, in_language
from webui.tables import html_table
from webui.texts import TEXTS

_SCRIPT = "pretrain/__main__.py"
_COLUMNS = ("names", "state", "size", "purpose", "licence")


def build(context: Context) -> None:
    """Lay out the part."""
    text = context.text
    chosen = gr.CheckboxGroup(
        [key for key, entry in WEIGHTS.items() if entry.sources], label=text("lab.weights.choose")
    )
    with gr.Row():
        start = gr.Button(text("lab.weights.start"), variant="primary")
        check = gr.Button(text("lab.weights.check"))
    panel = Panel(context, "weights")
    with gr.Accordion(text("lab.weights.table"), open=False) as table:
        shown = gr.HTML()

    def checked(keys: list[str]) -> list[str]:
        if not keys:
            raise ConfigError(TEXTS["lab.weights.none"][0])
        return [key for key in keys if key in WEIGHTS]

    def fill(request: gr.Request) -> str:
        say = in_language(request)
        headers = [say(f"lab.weights.column.{name}") for name in _COLUMNS]
        return html_table(headers, weight_rows(say))

    panel.starts(start, _SCRIPT, checked, [chosen])
    panel.starts(check, _SCRIPT, lambda: ["--check"])
    context.on(table.expand, fill, None, shown)


def weight_rows(say: Say) -> list[list[str]]:
    """Rows of the table of weights."""
    pretrain = importlib.import_module("pretrain.__main__")
    lines = []
    for key, entry in WEIGHTS.items():
        state = "present" if find_weights(key) else "missing" if entry.sources else "by_hand"
        names, size = ", ".join(pretrain.parts_of(key)) or key, pretrain.size_of(key)
        lines.append([names, say(f"lab.weights.{state}"), size, say(f"weights.{key}"), entry.licence])
    return lines
