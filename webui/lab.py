"""The Lab tab: what one does with models beside training them and singing with them."""

from __future__ import annotations

import gradio as gr

from webui import lab_compress, lab_mix, lab_onnx, lab_tracks, lab_weights
from webui.context import Context

PARTS = {
    "mix": lab_mix,
    "tracks": lab_tracks,
    "compress": lab_compress,
    "onnx": lab_onnx,
    "weights": lab_weights,
}


def build(context: Context) -> None:
    """Put the tab together."""
    with gr.Tabs(overflow_behavior="wrap"):
        for name, part in PARTS.items():
            with gr.Tab(context.text(f"lab.{name}"), id=name):
                gr.Markdown(context.text(f"lab.{name}.intro"))
                part.build(context)
