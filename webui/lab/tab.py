"""The Lab tab: what one does with models beside training them and singing with them."""

from __future__ import annotations

import gradio as gr

from webui.context import Context
from webui.lab import compress as lab_compress
from webui.lab import mix as lab_mix
from webui.lab import onnx as lab_onnx
from webui.lab import tracks as lab_tracks
from webui.lab import weights as lab_weights

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
