"""Weights: what there is to download, what is here, and the download."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import gradio as gr

from modules.errors import ConfigError
from modules.weights import WEIGHTS, find_weights
from webui.context import Context
from webui.language import in_language
from webui.panel import Panel
from webui.processes import Processes
from webui.texts.lab import TEXTS

KIND = "weights"
_SCRIPT = "pretrain/__main__.py"
_COLUMNS = ("names", "state", "size", "purpose", "licence")


def build(context: Context) -> None:
    """Put the part together."""
    text = context.text
    chosen = gr.CheckboxGroup(
        [key for key, entry in WEIGHTS.items() if entry.sources], label=text("lab.weights.choose")
    )
    with gr.Row():
        start = gr.Button(text("lab.weights.start"), variant="primary")
        check = gr.Button(text("lab.weights.check"))
    panel = Panel(context, Processes(context.root), [KIND])
    with gr.Accordion(text("lab.weights.table"), open=False) as table:
        shown = gr.Dataframe(
            {"headers": [TEXTS[f"lab.weights.column.{name}"][0] for name in _COLUMNS], "data": []},
            interactive=False,
            wrap=True,
            show_label=False,
        )

    def plan(keys: list[str]) -> tuple[str, str, list[str]]:
        if not keys:
            raise ConfigError(TEXTS["lab.weights.none"][0])
        return KIND, _SCRIPT, [key for key in keys if key in WEIGHTS]

    def plan_check() -> tuple[str, str, list[str]]:
        return KIND, _SCRIPT, ["--check"]

    def fill(request: gr.Request) -> Any:
        say = in_language(TEXTS, request)
        return {"headers": [say(f"lab.weights.column.{name}") for name in _COLUMNS], "data": rows(say)}

    panel.starts(start, plan, [chosen])
    panel.starts(check, plan_check)
    table.expand(fill, None, shown, api_visibility="private")


def rows(say: Callable[[str], str]) -> list[list[str]]:
    """Return a line for each file of the table of weights."""
    pretrain = importlib.import_module("pretrain.__main__")
    lines = []
    for key, entry in WEIGHTS.items():
        state = "there" if find_weights(key) else "missing" if entry.sources else "by_hand"
        names = ", ".join(pretrain.parts_of(key)) or key
        lines.append(
            [names, say(f"lab.weights.{state}"), pretrain.size_of(key), entry.purpose, entry.licence]
        )
    return lines
