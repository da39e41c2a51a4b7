"""The Dataset tab: look at recordings, listen to them, and make a data set of them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from modules.common.errors import ConfigError
from modules.dataset.layout import Layout, in_one_line, scan_folder
from webui.context import Context
from webui.dataset import steps as dataset_steps
from webui.dataset.facts import PROBLEMS, UNREADABLE, Clip, Voice, examine, summarize
from webui.dataset.picture import draw
from webui.flags import parser_of
from webui.jobs.queue import Job, Line, PageJobs
from webui.jobs.status import bar
from webui.language import in_language
from webui.menus import keep_current
from webui.places import inside
from webui.tables import draw_table
from webui.texts.dataset import TEXTS
from webui.toasts import toasts

_HEARD = 60.0  # s of a recording that are sent to the page
_MOST_PROBLEMS = 200  # lines
_OFTEN = 0.3  # s between two looks at how far a report is
_MEASURING = "measuring"  # what a job does that is not waiting
_SHOWN = 7  # parts of a report
LINE = Line()  # of reports, which take turns: each uses all of the machine

Say = Callable[[str], str]


def build(context: Context) -> None:
    """Put the tab together."""
    text = context.text
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
            cancel = gr.Button(text("dataset.cancel"), variant="stop")
            reload = gr.Button(text("dataset.reload"))
    progress = gr.HTML()
    shown = _report_view(context)
    reports = Reports(context.root)

    def look_again() -> Any:
        return gr.Dropdown(folders(context.root))

    reload.click(look_again, None, folder, api_visibility="private")
    keep_current((folder, lambda: folders(context.root)))
    going = report.click(
        toasts(reports.report, context.debug),
        folder,
        [progress, *shown],
        concurrency_limit=None,  # they take turns in their line
        show_progress="hidden",
        api_visibility="private",
    )
    going.failure(lambda: "", None, progress, show_progress="hidden", api_visibility="private")
    cancel.click(reports.cancel, show_progress="hidden", api_visibility="private")
    dataset_steps.build(context, folder)


def folders(root: Path) -> list[str]:
    """Return the folders that recordings are usually in, if they are there."""
    found = [_default_folder(), *(f"{path.parent.name}/{path.name}" for path in (root / "dataset").glob("*"))]
    return [name for name in found if (root / name).is_dir()] or [_default_folder()]


def _default_folder() -> str:
    return Path(parser_of("resample").get_default("in_dir")).as_posix()


def _report_view(context: Context) -> list[Any]:
    """Put the empty report together; return what a report fills."""
    text = context.text
    audible = gr.State([])
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

    def choose(audible: list[str], event: gr.SelectData) -> Any:
        return event.row_value[0] if event.row_value[0] in audible else gr.skip()

    clip.change(toasts(play, context.debug), clip, player, api_visibility="private")
    problems.select(choose, audible, clip, api_visibility="private")
    return [audible, summary, picture, voices, problems, players, clip]


class Reports:
    """The reports that pages wait for.

    Args:
        root: The project folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._pages = PageJobs()

    def report(self, folder: str, request: gr.Request) -> Generator[tuple[Any, ...], None, None]:
        """Yield how far the examination of a folder is, and at the end what came of it."""
        say = in_language(TEXTS, request)
        layout = scan_folder(self._root / inside(self._root, folder, "a folder of recordings"))
        recordings = [(speaker, path) for speaker, paths in layout.clips.items() for path in paths]
        nothing = [gr.skip()] * _SHOWN
        job = Job(lambda job: _examine(job, recordings)).start()
        with self._pages.waiting(request.session_hash, job):
            while not job.finished.wait(_OFTEN) and not job.cancelled:
                yield _progress(job, LINE.before(job), say), *nothing
            if job.cancelled:  # it ends by itself when the next recording is done
                yield f"<p>{say('dataset.cancelled')}</p>", *nothing
                return
            yield "", *_filled(self._root, job.result(), layout, say)

    def cancel(self, request: gr.Request) -> None:
        """End the report that a page waits for."""
        self._pages.cancel(request.session_hash)


def _examine(job: Job, recordings: Sequence[tuple[str, Path]]) -> list[Clip]:
    clips: list[Clip] = []
    with LINE.turn(job):
        job.enter(_MEASURING)
        for clip in examine(recordings):
            clips.append(clip)
            job.title = f"{len(clips)} / {len(recordings)}"
            job.report(len(clips) / len(recordings))
    return sorted(clips, key=lambda clip: (clip.speaker, clip.path))


def _progress(job: Job, before: int, say: Say) -> str:
    """Return how far a job is, as a line and a bar."""
    stage = say(f"dataset.{job.stage}").format(before=before)
    return bar(f"{stage} {job.title}", job.share)


def _filled(root: Path, clips: list[Clip], layout: Layout, say: Say) -> tuple[Any, ...]:
    """Return what :func:`_report_view` shows of clips."""
    voices = summarize(clips)
    named = {clip.path.relative_to(root).as_posix(): clip for clip in clips}
    audible = [name for name, clip in named.items() if UNREADABLE not in clip.problems]
    ignored = {in_one_line(path.relative_to(root)): why for path, why in layout.ignored.items()}
    wrong = problem_rows(named, ignored, say)
    total = say("dataset.summary").format(
        clips=len(clips), minutes=f"{sum(voice.minutes for voice in voices):.1f}"
    )
    columns = [say("dataset.column.clip"), say("dataset.column.problem")]
    return (
        audible,
        gr.Markdown(f"**{total}**" + ("" if wrong else f" {say('dataset.fine')}"), visible=True),
        gr.HTML(draw(clips, voices, say), visible=True),
        gr.HTML(draw_table(_headers(say), voice_rows(voices, say)), visible=True),
        gr.Dataframe({"headers": columns, "data": wrong[:_MOST_PROBLEMS]}, visible=bool(wrong)),
        gr.Row(visible=bool(audible)),
        gr.Dropdown(audible, value=audible[0] if audible else None),
    )


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


def problem_rows(clips: Mapping[str, Clip], ignored: Mapping[str, str], say: Say) -> list[list[str]]:
    """Return a line for all that is ignored or has problems, the worst first: its name, and what to do."""

    def described(clip: Clip, name: str) -> str:
        what = say(f"dataset.problem.{name}")
        if name == UNREADABLE:
            return f"{what}: {clip.reason}"
        length = f" ({clip.seconds:.1f} s)" if name.startswith("too") else ""
        return f"{what}{length}: {say(f'dataset.advice.{name}')}"

    wrong = [(name, clip) for name, clip in clips.items() if clip.problems]
    wrong.sort(key=lambda entry: min(PROBLEMS.index(name) for name in entry[1].problems))
    return [
        *([name, say(f"dataset.ignored.{why}")] for name, why in ignored.items()),
        *([name, "; ".join(described(clip, what) for what in clip.problems)] for name, clip in wrong),
    ]


def hear(root: Path, name: str) -> tuple[int, np.ndarray]:
    """Return (sampling rate in Hz, int16 samples (T,)) of the beginning of a recording in the project.

    Raises:
        ConfigError: It lies elsewhere.
        AudioError: It cannot be read.
    """
    from modules.dsp.audio import AUDIO_SUFFIXES, open_audio, read_samples, to_mono
    from modules.dsp.loudness import to_int16

    path = root / inside(root, name, "a recording")
    if path.suffix.lower() not in AUDIO_SUFFIXES:
        raise ConfigError(f"{name} is no recording")
    with open_audio(path) as file:
        audio = to_mono(read_samples(file, int(_HEARD * file.samplerate)))
        rate = file.samplerate
    return rate, to_int16(np.nan_to_num(audio))
