"""Steps 1 to 3, which make a data set of recordings, on the Dataset tab."""

from __future__ import annotations

from typing import Any

import gradio as gr

from modules.f0_predictor import F0_PREDICTORS
from vdecoder import VOCODERS
from vencoder import ENCODERS
from webui.context import Context
from webui.flags import Flags
from webui.jobs.panel import Panel
from webui.jobs.processes import Processes
from webui.places import inside

KIND = "dataset"  # the steps build on each other, so one runs at a time


def build(context: Context, folder: gr.Dropdown) -> None:
    """Put the three steps beside each other, and what runs below them; ``folder`` holds the recordings."""
    text = context.text
    with gr.Row():
        with gr.Column(min_width=260):
            gr.Markdown(text("dataset.step1"))
            first = Flags(context, "resample", ["slice", "loudnorm"])
            with gr.Accordion(text("dataset.more"), open=False):
                more = Flags(context, "resample", ["skip_loudnorm", "sr2", "num_processes"])
            run1 = gr.Button(text("dataset.run1"), variant="primary")
        with gr.Column(min_width=260):
            gr.Markdown(text("dataset.step2"))
            choices = {"speech_encoder": list(ENCODERS), "vocoder": list(VOCODERS)}
            second = Flags(
                context,
                "preprocess_flist_config",
                ["speech_encoder", "vocoder", "tiny", "vol_aug", "reflow"],
                choices,
            )
            run2 = gr.Button(text("dataset.run2"), variant="primary")
        with gr.Column(min_width=260):
            gr.Markdown(text("dataset.step3"))
            third = Flags(
                context,
                "preprocess_hubert_f0",
                ["f0_predictor", "use_diff"],
                {"f0_predictor": list(F0_PREDICTORS)},
            )
            with gr.Accordion(text("dataset.more"), open=False):
                fine = Flags(context, "preprocess_hubert_f0", ["num_processes", "device"])
            run3 = gr.Button(text("dataset.run3"), variant="primary")
    panel = Panel(context, Processes(context.root), [KIND])

    def plan1(source: str, *values: Any) -> tuple[str, str, list[str]]:
        place = inside(context.root, source, "a folder of recordings")
        n = len(first.fields)
        words = first.arguments(values[:n]) + more.arguments(values[n:])
        return KIND, "resample.py", [f"--in_dir={place.as_posix()}", *words]

    def plan2(*values: Any) -> tuple[str, str, list[str]]:
        return KIND, "preprocess_flist_config.py", second.arguments(values)

    def plan3(*values: Any) -> tuple[str, str, list[str]]:
        n = len(third.fields)
        words = third.arguments(values[:n]) + fine.arguments(values[n:])
        return KIND, "preprocess_hubert_f0.py", words

    panel.starts(run1, plan1, [folder, *first.fields, *more.fields])
    panel.starts(run2, plan2, second.fields)
    panel.starts(run3, plan3, [*third.fields, *fine.fields])
