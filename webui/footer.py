"""What stands below all tabs: the language, for this browser, and debugging, for the whole server."""

from __future__ import annotations

import logging
from typing import Any

import gradio as gr

from webui.context import Context
from webui.language import CHINESE, ENGLISH, SWITCH, speaks_chinese


def build_footer(context: Context, page: gr.Blocks) -> None:
    """Lay it out and wire it."""
    text = context.text
    with gr.Row(elem_classes="options"):
        language = gr.Radio(
            [("English", ENGLISH), ("中文", CHINESE)], label=text("page.language"), min_width=240
        )
        debug = gr.Checkbox(
            bool(context.debug), label=text("page.debug"), info=text("page.debug.help"), min_width=240
        )

    def turn(on: bool) -> None:
        context.debug.on = on
        logging.getLogger().setLevel(logging.INFO if on else logging.WARNING)

    def state(request: gr.Request) -> tuple[str, bool]:
        return CHINESE if speaks_chinese(request) else ENGLISH, bool(context.debug)

    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    language.input(None, language, None, js=SWITCH, api_visibility="private")
    debug.input(turn, debug, None, **quiet)
    page.load(state, None, [language, debug], **quiet)
