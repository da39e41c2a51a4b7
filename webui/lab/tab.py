"""The Lab tab: mix, compress and export models, edit speaker mixes, download weights."""

from __future__ import annotations

import gradio as gr

from webui.context import Context
from webui.lab import compress, mix, onnx, tracks, weights

PARTS = {"mix": mix, "tracks": tracks, "compress": compress, "onnx": onnx, "weights": weights}


def build_lab_tab(context: Context) -> None:
    """Lay out the tab."""
    with gr.Tabs(overflow_behavior="wrap"):
        for name, part in PARTS.items():
            with gr.Tab(context.text(f"lab.{name}"), id=name):
                gr.Markdown(context.text(f"lab.{name}.intro"))
                part.build(context)
