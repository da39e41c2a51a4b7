"""Debugging, for the whole server, below all tabs."""

from __future__ import annotations

import logging

import gradio as gr

from webui.context import Context


def build_footer(context: Context, page: gr.Blocks) -> None:
    """Lay out the footer and wire it."""
    text = context.text
    debug = gr.Checkbox(bool(context.debug), label=text("page.debug"), info=text("page.debug.help"))

    def turn(on: bool) -> None:
        context.debug.on = on
        logging.getLogger().setLevel(logging.INFO if on else logging.WARNING)

    context.on(debug.input, turn, debug, None, show_progress="hidden")
    context.on(page.load, lambda: bool(context.debug), None, debug, show_progress="hidden")
