"""The Dataset tab: look at recordings, listen to them, and make a data set of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from modules.dataset_layout import find_clips
from modules.errors import ConfigError
from modules.f0_predictor import F0_PREDICTORS
from vdecoder import VOCODERS
from vencoder import ENCODERS
from webui.context import Context
from webui.dataset_facts import PROBLEMS, UNREADABLE, Clip, Voice, examine, summarize
from webui.dataset_picture import draw
from webui.flags import Flags, parser_of
from webui.language import in_language
from webui.menus import keep_current
from webui.panel import Panel
from webui.places import inside
from webui.processes import Processes
from webui.tables import draw_table
from webui.texts.dataset import TEXTS
from webui.toasts import toasts

KIND = "dataset"  # the steps build on each other, so one runs at a time
_HEARD = 60.0  # s of a recording that are sent to the page
_MOST_PROBLEMS = 200  # lines

Say = Callable[[str], str]


def build(context: Context) -> None:
    """Put the tab together."""
    text, debug = context.text, context.debug
    processes = Processes(context.root)
    gr.Markdown(text("dataset.intro"))
    with gr.Row():
        folder = gr.Dropdown(
            folders(context.root),
            value=_default_folder(),
            label=text("dataset.folder"),
            info=text("dataset.folder.info"),
            allow_custom_value=True,
            scale=3,
            min_width=240,
        )
        with gr.Column(scale=1, min_width=160):
            report = gr.Button(text("dataset.report"), variant="primary")
            reload = gr.Button(text("dataset.reload"))
    shown = _report_view(context)
    known = gr.State([])

    def look_again() -> Any:
        return gr.Dropdown(folders(context.root))

    reload.click(look_again, None, folder, api_visibility="private")
    keep_current((folder, lambda: folders(context.root)))
    report.click(
        toasts(_reporter(context), debug),
        folder,
        [known, *shown],
        api_visibility="private",
        concurrency_limit=1,
    )
    _steps(context, processes, folder)


def folders(root: Path) -> list[str]:
    """Return the folders that recordings are usually in, if they are there."""
    found = [_default_folder(), *(f"{path.parent.name}/{path.name}" for path in (root / "dataset").glob("*"))]
    return [name for name in found if (root / name).is_dir()] or [_default_folder()]


def _default_folder() -> str:
    return Path(parser_of("resample").get_default("in_dir")).as_posix()


def _report_view(context: Context) -> list[Any]:
    """Put the empty report together; return what a report fills."""
    text = context.text
    summary = gr.Markdown(visible=False)
    picture = gr.HTML(visible=False)
    voices = gr.HTML(visible=False)
    problems = gr.Dataframe(label=text("dataset.problems"), interactive=False, visible=False, wrap=True)
    with gr.Row(visible=False) as players:
        clip = gr.Dropdown([], label=text("dataset.clip"), min_width=240)
        player = gr.Audio(
            label=text("dataset.listen"), interactive=False, min_width=240, buttons=["download"]
        )

    def play(name: str | None) -> Any:
        return hear(context.root, name) if name else None

    def choose(event: gr.SelectData) -> Any:
        return event.row_value[0]

    clip.change(toasts(play, context.debug), clip, player, api_visibility="private")
    problems.select(choose, None, clip, api_visibility="private")
    return [summary, picture, voices, problems, players, clip]


def _reporter(context: Context) -> Callable[..., Any]:
    def report(
        folder: str,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio's way
    ) -> Any:
        say = in_language(TEXTS, request)
        place = inside(context.root, folder, "a folder of recordings")
        found = find_clips(context.root / place)
        recordings = [(speaker, path) for speaker, paths in found.items() for path in paths]
        clips = []
        for clip in examine(recordings):
            clips.append(clip)
            progress((len(clips), len(recordings)), desc=say("dataset.measuring"))
        clips.sort(key=lambda clip: (clip.speaker, clip.path))
        voices = summarize(clips)
        names = [clip.path.relative_to(context.root).as_posix() for clip in clips]
        audible = [name for name, clip in zip(names, clips, strict=True) if UNREADABLE not in clip.problems]
        wrong = problem_rows(dict(zip(names, clips, strict=True)), say)
        total = say("dataset.summary").format(
            clips=len(clips), minutes=f"{sum(voice.minutes for voice in voices):.1f}"
        )
        return (
            names,
            gr.Markdown(f"**{total}**" + ("" if wrong else f" {say('dataset.fine')}"), visible=True),
            gr.HTML(draw(clips, voices, say), visible=True),
            gr.HTML(draw_table(_headers(say), voice_rows(voices, say)), visible=True),
            gr.Dataframe(
                {
                    "headers": [say("dataset.column.clip"), say("dataset.column.problem")],
                    "data": wrong[:_MOST_PROBLEMS],
                },
                visible=bool(wrong),
            ),
            gr.Row(visible=bool(audible)),
            gr.Dropdown(audible, value=audible[0] if audible else None),
        )

    return report


def _headers(say: Say) -> list[str]:
    columns = ("speaker", "clips", "minutes", "seconds", "f0", "lufs", "problems")
    return [say(f"dataset.column.{name}") for name in columns]


def voice_rows(voices: Sequence[Voice], say: Say) -> list[list[Any]]:
    """Return the table of speakers."""
    return [
        [
            voice.speaker,
            voice.clips,
            f"{voice.minutes:.1f}",
            " / ".join(f"{seconds:.1f}" for seconds in voice.seconds),
            " / ".join(f"{hz:.0f}" for hz in voice.f0) if voice.f0 else "–",
            f"{voice.lufs:.1f}" if voice.lufs is not None else "–",
            ", ".join(f"{n} {say(f'dataset.problem.{name}')}" for name, n in voice.problems.items() if n)
            or "–",
        ]
        for voice in voices
    ]


def problem_rows(clips: dict[str, Clip], say: Say) -> list[list[str]]:
    """Return a line for each recording with problems, the worst first: its name, and what to do."""

    def described(clip: Clip, name: str) -> str:
        what = say(f"dataset.problem.{name}")
        if name == UNREADABLE:
            return f"{what}: {clip.reason}"
        length = f" ({clip.seconds:.1f} s)" if name.startswith("too") else ""
        return f"{what}{length}: {say(f'dataset.advice.{name}')}"

    wrong = [(name, clip) for name, clip in clips.items() if clip.problems]
    wrong.sort(key=lambda entry: min(PROBLEMS.index(name) for name in entry[1].problems))
    return [[name, "; ".join(described(clip, what) for what in clip.problems)] for name, clip in wrong]


def hear(root: Path, name: str) -> tuple[int, np.ndarray]:
    """Return (sampling rate in Hz, int16 samples (T,)) of the beginning of a recording in the project.

    Raises:
        ConfigError: It lies elsewhere.
        AudioError: It cannot be read.
    """
    from modules.audio import AUDIO_SUFFIXES, open_audio, read_samples, to_mono
    from modules.loudness import to_int16

    path = root / inside(root, name, "a recording")
    if path.suffix.lower() not in AUDIO_SUFFIXES:
        raise ConfigError(f"{name} is no recording")
    with open_audio(path) as file:
        audio = to_mono(read_samples(file, int(_HEARD * file.samplerate)))
        rate = file.samplerate
    return rate, to_int16(np.nan_to_num(audio))


def _steps(context: Context, processes: Processes, folder: gr.Dropdown) -> None:
    """Put the three steps below each other, and what runs below them."""
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
    panel = Panel(context, processes, [KIND])

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
