"""The Training tab: start trainings, and watch and play what they write."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from modules.common.errors import ConfigError, GlowSVCError
from modules.common.metrics import BEST_BY, METRICS
from training.base_model import AUTO_NAME, STARTER_NAME
from webui.context import Context
from webui.flags import Flags
from webui.jobs.panel import Panel
from webui.language import Say, in_language
from webui.menus import auto_refresh
from webui.paths import VOICE_MODELS, find_models, inside, plain_name
from webui.tables import html_table
from webui.texts import TEXTS
from webui.training.run_folder import Curve, RunFolder

_INTERVAL = 5.0  # s between two updates


def build_training_tab(context: Context) -> None:
    """Lay out the tab."""
    text = context.text
    parts = {"model": _build_model, "diffusion": _build_diffusion, "clusters": _build_clusters}
    with gr.Tabs(overflow_behavior="wrap"):
        for name, build in parts.items():
            with gr.Tab(text(f"training.{name}"), id=name):
                gr.Markdown(text(f"training.{name}.intro"))
                build(context)


def _build_model(context: Context) -> None:
    names = ["model", "max_minutes", "base"]
    flags, start = _build_flags(context, "train", names, "training.start", base=base_models(context.root))
    panel = Panel(context, "train")

    def folder(name: str) -> Path:
        return Path("logs") / plain_name(name, TEXTS["train.model"][0])

    def training(name: str, minutes: float, base: str | None, config: str, device: str) -> list[str]:
        folder(name)
        if base and base not in (AUTO_NAME, STARTER_NAME):
            base = inside(context.root, base, TEXTS["train.base"][0]).as_posix()
        config = inside(context.root, config, TEXTS["train.config"][0]).as_posix()
        return flags.arguments(name, minutes, base, config, device)

    panel.starts(start, "train.py", training, flags.fields)
    auto_refresh((flags["base"], lambda: base_models(context.root)))
    _watch(context, folder, [flags["model"]])


def base_models(root: Path) -> list[str]:
    """Values for --base: none, the starter model, or a voice model of the project."""
    return ["", AUTO_NAME, STARTER_NAME, *find_models(root, VOICE_MODELS)]


def _build_diffusion(context: Context) -> None:
    flags, start = _build_flags(context, "train_diff", ["max_minutes"], "training.start.diffusion")
    panel = Panel(context, "train_diff")

    def training(minutes: float, config: str, device: str) -> list[str]:
        config = inside(context.root, config, TEXTS["train_diff.config"][0]).as_posix()
        return flags.arguments(minutes, config, device)

    panel.starts(start, "train_diff.py", training, flags.fields)
    _watch(context, lambda config: diffusion_folder(context.root, config), [flags["config"]])


def _build_clusters(context: Context) -> None:
    text = context.text
    with gr.Row():
        with gr.Column(min_width=260):
            clusters = Flags(context, "cluster.train_cluster", ["n_centres", "gpu"])
            make_clusters = gr.Button(text("training.start.clusters"), variant="primary")
        with gr.Column(min_width=260):
            index = Flags(context, "train_index", ["max_frames", "recall", "gpu"])
            make_index = gr.Button(text("training.start.index"), variant="primary")
    panel = Panel(context, "timbre")
    panel.starts(make_clusters, "cluster/train_cluster.py", clusters.arguments, clusters.fields)
    panel.starts(make_index, "train_index.py", index.arguments, index.fields)


def _build_flags(
    context: Context, script: str, names: Sequence[str], start: str, **choices: Iterable[str]
) -> tuple[Flags, gr.Button]:
    """Lay out a training: its main flags, its button, and the folded flags."""
    with gr.Row(elem_classes="options"):
        flags = Flags(context, script, names, **choices)
    button = gr.Button(context.text(start), variant="primary")
    with gr.Accordion(context.text("common.more"), open=False), gr.Row(elem_classes="options"):
        flags.add(["config", "device"])
    return flags, button


def diffusion_folder(root: Path, config: str) -> Path:
    """Folder, relative to ``root``, that the training with this diffusion.yaml writes to.

    Raises ConfigError if it or the configuration is not in the project.
    """
    from diffusion.config import EnvConfig, read_yaml

    path = root / inside(root, config, TEXTS["train_diff.config"][0])
    try:
        values = read_yaml(path)
        folder = values["env"]["expdir"]
    except (ConfigError, TypeError, KeyError):
        folder = EnvConfig().expdir
    return inside(root, str(folder), "env.expdir")


# -- watching ------------------------------------------------------------------------------------


def _watch(context: Context, folder_of: Callable[..., Path], fields: list[Any]) -> None:
    """Lay out curves, metrics and audio of the run that ``fields`` name.

    ``folder_of`` gives its folder, relative to the project, for their values.
    """
    text = context.text
    with gr.Row():
        with gr.Column(scale=3, min_width=300):
            curve = gr.LinePlot(
                x="step",
                y="loss",
                color="curve",
                title=text("training.loss"),
                height=260,
                show_label=False,
                visible=False,
            )
        with gr.Column(scale=2, min_width=260):
            metrics = gr.HTML(visible=False)
    with gr.Accordion(text("training.samples"), open=False):
        with gr.Row(equal_height=True):
            clip = gr.Dropdown([], label=text("training.clip"), min_width=120)
            listen = gr.Button(text("training.listen"), min_width=160)
        with gr.Row():
            player = partial(gr.Audio, interactive=False, min_width=240, buttons=["download"])
            recorded = player(label=text("training.recorded"))
            generated = player(label=text("training.generated"))
    timer, seen = gr.Timer(_INTERVAL), gr.State("")

    def refresh(request: gr.Request, seen: str, *values: Any) -> Any:
        try:
            run = RunFolder(context.root / folder_of(*values))
        except GlowSVCError:  # as a half-typed name; the button reports it
            return gr.skip()
        stamp = run.stamp()
        if stamp == seen:
            return gr.skip()
        say = in_language(request)
        losses, rows = run.losses(), run.validations()
        return (
            gr.LinePlot(loss_table(losses, say), visible=bool(losses)),
            gr.HTML(metrics_table(rows, say), visible=bool(losses)),
            stamp,
        )

    def play(request: gr.Request, which: str | None, *values: Any) -> Any:
        run = RunFolder(context.root / folder_of(*values))
        say = in_language(request)
        clips = run.clips()
        if not clips:
            raise GlowSVCError(say("training.no_audio"))
        which = which if which in clips else clips[0]
        audio = [run.audio(which, kind) for kind in ("recorded", "generated")]
        shown = [(entry[1], entry[2]) if entry else None for entry in audio]
        label = say("training.generated") + (f" ({say('training.step')} {audio[1][0]})" if audio[1] else "")
        return gr.Dropdown(clips, value=which), shown[0], gr.Audio(shown[1], label=label)

    hidden = {"show_progress": "hidden", "concurrency_limit": None}
    context.on(timer.tick, refresh, [seen, *fields], [curve, metrics, seen], **hidden)
    context.on(partial(gr.on, [listen.click, clip.input]), play, [clip, *fields], [clip, recorded, generated])


def loss_table(losses: dict[str, Curve], say: Say) -> Any:
    """Curves as a table for the plot: step, loss, curve.

    The plot assigns its colours once, so an empty curve is represented by a NaN.
    """
    import pandas

    first = min((curve[0][0] for curve in losses.values()), default=0)
    rows = [
        (step, value, say(f"training.curve.{name}"))
        for name in ("training", "validation")
        for step, value in losses.get(name, [(first, math.nan)])
    ]
    return pandas.DataFrame(rows, columns=["step", "loss", "curve"])


def metrics_table(rows: list[dict[str, str]], say: Say) -> str:
    """Metrics of the newest validation, each beside the best so far, as HTML."""
    if not rows:
        return f"<p>{say('training.nothing')}</p>"
    last = rows[-1]
    lines = []
    for name in (*BEST_BY, "train_loss"):
        values = ((float(row.get(name) or "nan"), row["step"]) for row in rows)
        known = [(value, step) for value, step in values if math.isfinite(value)]
        if last.get(name) and known:
            best, step = (max if METRICS[name].better == "higher" else min)(known, key=lambda entry: entry[0])
            lines.append([say(f"training.metric.{name}"), f"{float(last[name]):.4g}", f"{best:.4g} ({step})"])
    title = f"{say('training.latest')}: {say('training.step')} {last['step']}"
    if last.get("epoch"):
        title += f", {say('training.epoch')} {last['epoch']}"
    headers = [say("training.metric"), say("training.value"), say("training.best")]
    return f"<p><b>{html.escape(title)}</b></p>{html_table(headers, lines)}"
