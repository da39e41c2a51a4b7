"""The Training tab: start the trainings, and watch and hear how they come along."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from modules.common.errors import GlowSVCError
from modules.common.metrics import BEST_BY, METRICS
from training.base_model import STARTER_NAME
from webui.context import Context
from webui.flags import Flags
from webui.jobs.panel import Panel
from webui.jobs.processes import Processes
from webui.language import in_language
from webui.menus import keep_current
from webui.places import VOICES, find_models, inside, plain_name
from webui.tables import draw_table
from webui.texts.training import TEXTS
from webui.toasts import toasts
from webui.training.run_folder import RunFolder

VOICE, DIFFUSION, TIMBRE = "train", "train_diff", "timbre"
_LOOKS = 5.0  # s between two looks at what a run has written

FolderOf = Callable[..., Path]  # values of fields -> where the run writes, in the project folder


def build(context: Context) -> None:
    """Put the tab together."""
    text = context.text
    processes = Processes(context.root)
    with gr.Tabs(overflow_behavior="wrap"):
        with gr.Tab(text("training.voice"), id="voice"):
            gr.Markdown(text("training.voice.intro"))
            _voice(context, processes)
        with gr.Tab(text("training.tasks.diffusion"), id="diffusion"):
            gr.Markdown(text("training.tasks.diffusion.intro"))
            _diffusion(context, processes)
        with gr.Tab(text("training.timbre"), id="timbre"):
            gr.Markdown(text("training.timbre.intro"))
            _timbre(context, processes)


def _voice(context: Context, processes: Processes) -> None:
    text = context.text
    names, choices = ["model", "max_minutes", "base"], {"base": bases(context.root)}
    main, fine, start = _fields(context, "train", names, text("training.start"), choices)
    panel = Panel(context, processes, [VOICE])

    def folder(name: str) -> Path:
        return Path("logs") / plain_name(name, text_of("train.model"))

    def plan(
        name: str, minutes: float, base: str | None, config: str, device: str
    ) -> tuple[str, str, list[str]]:
        folder(name)
        if base and base != STARTER_NAME:
            base = inside(context.root, base, text_of("train.base")).as_posix()
        config = inside(context.root, config, text_of("train.config")).as_posix()
        return VOICE, "train.py", main.arguments([name, minutes, base]) + fine.arguments([config, device])

    panel.starts(start, plan, [*main.fields, *fine.fields])
    keep_current((main["base"], lambda: bases(context.root)))
    _watch(context, folder, [main["model"]])


def bases(root: Path) -> list[str]:
    """Return what a training can start from: nothing of its own, the starter kit's model, the voices here."""
    return ["", STARTER_NAME, *find_models(root, VOICES)]


def _diffusion(context: Context, processes: Processes) -> None:
    text = context.text
    main, fine, start = _fields(context, "train_diff", ["max_minutes"], text("training.start.diffusion"))
    panel = Panel(context, processes, [DIFFUSION])

    def plan(minutes: float, config: str, device: str) -> tuple[str, str, list[str]]:
        config = inside(context.root, config, text_of("train_diff.config")).as_posix()
        return DIFFUSION, "train_diff.py", main.arguments([minutes]) + fine.arguments([config, device])

    def folder(config: str) -> Path:
        return diffusion_folder(context.root, config)

    panel.starts(start, plan, [*main.fields, *fine.fields])
    _watch(context, folder, [fine["config"]])


def _timbre(context: Context, processes: Processes) -> None:
    text = context.text
    with gr.Row():
        with gr.Column(min_width=260):
            clusters = Flags(context, "cluster.train_cluster", ["n_centres", "gpu"])
            make_clusters = gr.Button(text("training.start.clusters"), variant="primary")
        with gr.Column(min_width=260):
            index = Flags(context, "train_index", ["max_frames", "recall", "gpu"])
            make_index = gr.Button(text("training.start.index"), variant="primary")
    panel = Panel(context, processes, [TIMBRE])

    def plan_clusters(*values: Any) -> tuple[str, str, list[str]]:
        return TIMBRE, "cluster/train_cluster.py", clusters.arguments(values)

    def plan_index(*values: Any) -> tuple[str, str, list[str]]:
        return TIMBRE, "train_index.py", index.arguments(values)

    panel.starts(make_clusters, plan_clusters, clusters.fields)
    panel.starts(make_index, plan_index, index.fields)


def _fields(
    context: Context,
    script: str,
    names: list[str],
    start: Any,
    choices: Mapping[str, Iterable[str]] | None = None,
) -> tuple[Flags, Flags, gr.Button]:
    """Put the fields of a training together: the plain ones, the folded ones, and its button."""
    with gr.Row(elem_classes="options"):
        main = Flags(context, script, names, choices)
    button = gr.Button(start, variant="primary")
    with gr.Accordion(context.text("training.more"), open=False), gr.Row(elem_classes="options"):
        fine = Flags(context, script, ["config", "device"])
    return main, fine, button


def text_of(key: str) -> str:
    """Return the English name of a field, for messages, which are English."""
    return TEXTS[key][0]


def diffusion_folder(root: Path, config: str) -> Path:
    """Return where the training of this diffusion.yaml writes, relative to ``root``.

    Raises:
        ConfigError: The configuration, or that folder, is not in the project.
    """
    import yaml

    from diffusion.config import EnvConfig

    path = root / inside(root, config, text_of("train_diff.config"))
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
        folder = values["env"]["expdir"]
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError):
        folder = EnvConfig().expdir
    return inside(root, str(folder), "env.expdir")


# -- watching ------------------------------------------------------------------------------------


def _watch(context: Context, folder_of: FolderOf, fields: list[Any]) -> None:
    """Put curves, numbers and sounds of a run together; ``fields`` say which run."""
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
            numbers = gr.HTML(visible=False)
    with gr.Accordion(text("training.samples"), open=False):
        with gr.Row(equal_height=True):
            clip = gr.Dropdown([], label=text("training.clip"), min_width=120)
            listen = gr.Button(text("training.listen"), min_width=160)
        with gr.Row():
            recorded = gr.Audio(
                label=text("training.recorded"), interactive=False, min_width=240, buttons=["download"]
            )
            generated = gr.Audio(
                label=text("training.generated"), interactive=False, min_width=240, buttons=["download"]
            )
    timer, seen = gr.Timer(_LOOKS), gr.State("")

    def look(request: gr.Request, seen: str, *values: Any) -> Any:
        try:
            run = RunFolder(context.root / folder_of(*values))
        except GlowSVCError:  # half a name; it is said when the button is pressed
            return gr.skip()
        stamp = run.stamp()
        if stamp == seen:
            return gr.skip()
        say = in_language(TEXTS, request)
        losses, rows = run.losses(), run.validations()
        return (
            gr.LinePlot(frame_of(losses, say), visible=bool(losses)),
            gr.HTML(numbers_of(rows, say), visible=bool(losses)),
            stamp,
        )

    def hear(request: gr.Request, which: str | None, *values: Any) -> Any:
        run = RunFolder(context.root / folder_of(*values))
        say = in_language(TEXTS, request)
        clips = run.clips()
        if not clips:
            raise GlowSVCError(say("training.silent"))
        which = which if which in clips else clips[0]
        sounds = [run.sound(which, kind) for kind in ("recorded", "generated")]
        shown = [(sound[1], sound[2]) if sound else None for sound in sounds]
        label = say("training.generated") + (f" ({say('training.step')} {sounds[1][0]})" if sounds[1] else "")
        return gr.Dropdown(clips, value=which), shown[0], gr.Audio(shown[1], label=label)

    timer.tick(
        look,
        [seen, *fields],
        [curve, numbers, seen],
        show_progress="hidden",
        api_visibility="private",
        concurrency_limit=None,
    )
    for event in (listen.click, clip.input):
        event(
            toasts(hear, context.debug),
            [clip, *fields],
            [clip, recorded, generated],
            api_visibility="private",
        )


def frame_of(losses: dict[str, list[tuple[int, float]]], say: Callable[[str], str]) -> Any:
    """Return the curves as a table that a plot reads: step, loss, curve.

    A plot gives colours to the curves that it is shown first, so one that has
    not begun is there with a point that cannot be drawn.
    """
    import pandas

    first = min((curve[0][0] for curve in losses.values()), default=0)
    nothing: list[tuple[int, float | None]] = [(first, None)]
    rows: list[tuple[int, float | None, str]] = [
        (step, value, say(f"training.curve.{name}"))
        for name in ("training", "validation")
        for step, value in losses.get(name) or nothing
    ]
    return pandas.DataFrame(rows, columns=["step", "loss", "curve"])


def numbers_of(rows: list[dict[str, str]], say: Callable[[str], str]) -> str:
    """Return the numbers of the newest validation, each beside the best so far, as HTML."""
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
    headers = [say("training.number"), say("training.value"), say("training.best")]
    return f"<p><b>{html.escape(title)}</b></p>{draw_table(headers, lines)}"
