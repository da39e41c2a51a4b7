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


def build_steps(context: Context, folder: gr.Dropdown) -> None:
    """Lay out the three steps and the panel of the running one; ``folder`` holds the recordings."""
    text = context.text
    with gr.Row():
        with gr.Column(min_width=260):
            gr.Markdown(text("dataset.step1"))
            first = Flags(context, "resample", ["slice", "loudnorm"])
            with gr.Accordion(text("common.more"), open=False):
                first.add(["skip_loudnorm", "sr2", "num_processes"])
            run1 = gr.Button(text("dataset.run1"), variant="primary")
        with gr.Column(min_width=260):
            gr.Markdown(text("dataset.step2"))
            second = Flags(
                context,
                "preprocess_flist_config",
                ["speech_encoder", "vocoder", "tiny", "vol_aug", "reflow"],
                speech_encoder=ENCODERS,
                vocoder=VOCODERS,
            )
            run2 = gr.Button(text("dataset.run2"), variant="primary")
        with gr.Column(min_width=260):
            gr.Markdown(text("dataset.step3"))
            names = ["f0_predictor", "use_diff"]
            third = Flags(context, "preprocess_hubert_f0", names, f0_predictor=F0_PREDICTORS)
            with gr.Accordion(text("common.more"), open=False):
                third.add(["num_processes", "device"])
            run3 = gr.Button(text("dataset.run3"), variant="primary")
    panel = Panel(context, "dataset")  # of all three, since each reads the results of the one before

    def resampling(source: str, *values: Any) -> list[str]:
        in_dir = inside(context.root, source, "a folder of recordings")
        return [f"--in_dir={in_dir.as_posix()}", *first.arguments(*values)]

    panel.starts(run1, "resample.py", resampling, [folder, *first.fields])
    panel.starts(run2, "preprocess_flist_config.py", second.arguments, second.fields)
    panel.starts(run3, "preprocess_hubert_f0.py", third.arguments, third.fields)
