"""Pretrained weights: their table, and the download."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import gradio as gr

from modules.common.errors import ConfigError
from modules.pretrained.weights import WEIGHTS, find_weights
from webui.context import Context
from webui.jobs.panel import Panel
from webui.language import Say, in_language, is_chinese
from webui.tables import html_table
from webui.texts import TEXTS
from webui.texts.weights import PURPOSES_ZH

KIND = "weights"
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
    panel = Panel(context, [KIND])
    with gr.Accordion(text("lab.weights.table"), open=False) as table:
        shown = gr.HTML()

    def plan(keys: list[str]) -> tuple[str, str, list[str]]:
        if not keys:
            raise ConfigError(TEXTS["lab.weights.none"][0])
        return KIND, _SCRIPT, [key for key in keys if key in WEIGHTS]

    def plan_check() -> tuple[str, str, list[str]]:
        return KIND, _SCRIPT, ["--check"]

    def fill(request: gr.Request) -> str:
        say, purposes = in_language(request), PURPOSES_ZH if is_chinese(request) else {}
        return html_table(
            [say(f"lab.weights.column.{name}") for name in _COLUMNS], weight_rows(say, purposes)
        )

    panel.starts(start, plan, [chosen])
    panel.starts(check, plan_check)
    context.on(table.expand, fill, None, shown)


def weight_rows(say: Say, purposes: Mapping[str, str]) -> list[list[str]]:
    """Rows of the table of weights; ``purposes`` replace the English ones by key."""
    pretrain = importlib.import_module("pretrain.__main__")
    lines = []
    for key, entry in WEIGHTS.items():
        state = "present" if find_weights(key) else "missing" if entry.sources else "by_hand"
        names = ", ".join(pretrain.parts_of(key)) or key
        lines.append(
            [
                names,
                say(f"lab.weights.{state}"),
                pretrain.size_of(key),
                purposes.get(key, entry.purpose),
                entry.licence,
            ]
        )
    return lines
