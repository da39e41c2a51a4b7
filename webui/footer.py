"""Debugging, for the whole server, below all tabs."""

from __future__ import annotations

import logging
from typing import Any

import gradio as gr

from webui.context import Context


def build_footer(context: Context, page: gr.Blocks) -> None:
    """Lay out the footer and wire it."""
    text = context.text
    debug = gr.Checkbox(bool(context.debug), label=text("page.debug"), info=text("page.debug.help"))

    def turn(on: bool) -> None:
        context.debug.on = on
        logging.getLogger().setLevel(logging.INFO if on else logging.WARNING)

    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    debug.input(turn, debug, None, **quiet)
    page.load(lambda: bool(context.debug), None, debug, **quiet)
