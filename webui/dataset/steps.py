"""Steps 1 to 3 on the Dataset tab: from recordings to a data set."""

from __future__ import annotations

from typing import Any

import gradio as gr

from modules.f0_predictor import F0_PREDICTORS
from vdecoder import VOCODERS
from vencoder import ENCODERS
from webui.context import Context
from webui.flags import Flags
from webui.jobs.panel import Panel
from webui.paths import inside

KIND = "dataset"  # of all three, since each reads the results of the one before


def build_steps(context: Context, folder: gr.Dropdown) -> None:
    """Lay out the three steps and the panel of the running one; ``folder`` holds the recordings."""
    text = context.text
    with gr.Row():
        with gr.Column(min_width=260):
            gr.Markdown(text("dataset.step1"))
            first = Flags(context, "resample", ["slice", "loudnorm"])
            with gr.Accordion(text("dataset.more"), open=False):
                first.add(["skip_loudnorm", "sr2", "num_processes"])
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
                third.add(["num_processes", "device"])
            run3 = gr.Button(text("dataset.run3"), variant="primary")
    panel = Panel(context, [KIND])

    def plan1(source: str, *values: Any) -> tuple[str, str, list[str]]:
        in_dir = inside(context.root, source, "a folder of recordings")
        return KIND, "resample.py", [f"--in_dir={in_dir.as_posix()}", *first.arguments(values)]

    panel.starts(run1, plan1, [folder, *first.fields])
    panel.starts_flags(run2, KIND, "preprocess_flist_config.py", second)
    panel.starts_flags(run3, KIND, "preprocess_hubert_f0.py", third)
