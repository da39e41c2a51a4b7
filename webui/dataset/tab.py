"""The Dataset tab: check recordings, play them, and turn them into a data set."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from modules.common.errors import ConfigError
from modules.dataset.layout import Layout, printable_path, scan_folder
from modules.dsp.audio import AUDIO_SUFFIXES, open_audio, read_mono
from modules.dsp.loudness import to_int16
from webui.context import Context
from webui.dataset.picture import draw_dataset
from webui.dataset.recordings import (
    PROBLEMS,
    UNREADABLE,
    Recording,
    SpeakerSummary,
    analyse_recordings,
    summarize,
)
from webui.dataset.steps import build_steps
from webui.flags import parser_of
from webui.jobs.queue import ANALYSING, BackgroundJob, JobQueue, PageJobs
from webui.language import Say, in_language
from webui.menus import auto_refresh
from webui.paths import inside
from webui.tables import html_table

_PLAYED = 60.0  # s of a recording that are sent to the page
_MOST_PROBLEMS = 200  # rows
_COLUMNS = ("speaker", "clips", "minutes", "seconds", "f0", "lufs", "problems")
_N_OUTPUTS = 7  # components that a report fills
REPORTS = JobQueue()  # one at a time: each uses the whole machine


def build_dataset_tab(context: Context) -> None:
    """Lay out the tab."""
    text = context.text
    gr.Markdown(text("dataset.intro"))
    with gr.Row():
        folder = gr.Dropdown(
            [],
            value=_default_folder(),
            label=text("dataset.folder"),
            info=text("dataset.folder.info"),
            allow_custom_value=True,
            scale=3,
            min_width=240,
        )
        with gr.Column(scale=1, min_width=160):
            report = gr.Button(text("dataset.report"), variant="primary")
            cancel = gr.Button(text("common.cancel"), variant="stop")
            reload = gr.Button(text("common.refresh"))
    progress = gr.HTML()
    shown = _report_view(context)
    reports = Reports(context.root)

    auto_refresh((folder, lambda: folders(context.root)), button=reload)
    reporting = context.on(
        report.click,
        reports.report,
        folder,
        [progress, *shown],
        concurrency_limit=None,  # REPORTS orders them
        show_progress="hidden",
    )
    context.on(reporting.failure, lambda: "", None, progress, show_progress="hidden")
    context.on(cancel.click, reports.pages.cancel, show_progress="hidden")
    build_steps(context, folder)


def folders(root: Path) -> list[str]:
    """Existing folders that may hold recordings, or the default one."""
    found = [_default_folder(), *(f"{path.parent.name}/{path.name}" for path in (root / "dataset").glob("*"))]
    return [name for name in found if (root / name).is_dir()] or [_default_folder()]


def _default_folder() -> str:
    return Path(parser_of("resample").get_default("in_dir")).as_posix()


def _report_view(context: Context) -> list[Any]:
    """Lay out an empty report; returns the components that a report fills."""
    text = context.text
    playable = gr.State([])
    summary = gr.Markdown(visible=False)
    picture = gr.HTML(visible=False)
    speakers = gr.HTML(visible=False)
    problems = gr.Dataframe(label=text("dataset.problems"), interactive=False, visible=False, wrap=True)
    with gr.Row(visible=False) as players:
        clip = gr.Dropdown([], label=text("dataset.clip"), min_width=240)
        player = gr.Audio(
            label=text("dataset.listen"), interactive=False, min_width=240, buttons=["download"]
        )

    def play(name: str | None) -> Any:
        return read_excerpt(context.root, name) if name else None

    def choose(playable: list[str], event: gr.SelectData) -> Any:
        return event.row_value[0] if event.row_value[0] in playable else gr.skip()

    context.on(clip.change, play, clip, player)
    context.on(problems.select, choose, playable, clip)
    return [playable, summary, picture, speakers, problems, players, clip]


class Reports:
    """Reports on folders of a project, and the jobs of the pages that wait for them."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.pages = PageJobs()

    def report(self, folder: str, request: gr.Request) -> Generator[tuple[Any, ...], None, None]:
        """Yield the progress of a folder's analysis and, at the end, the filled report."""
        say = in_language(request)
        layout = scan_folder(self._root / inside(self._root, folder, "a folder of recordings"))
        recordings = [(speaker, path) for speaker, paths in layout.clips.items() for path in paths]
        nothing = [gr.skip()] * _N_OUTPUTS
        job = REPORTS.submit(lambda job: _analyse(job, recordings))
        with self.pages.waiting(request, job):
            for bar in REPORTS.watch(job, say):
                yield bar, *nothing
            if job.cancelled:
                yield f"<p>{say('common.cancelled')}</p>", *nothing
                return
            yield "", *_filled(self._root, job.result(), layout, say)


def _analyse(job: BackgroundJob, recordings: Sequence[tuple[str, Path]]) -> list[Recording]:
    found: list[Recording] = []
    job.enter(ANALYSING)
    for recording in analyse_recordings(recordings):
        found.append(recording)
        job.title = f"{len(found)} / {len(recordings)}"
        job.report(len(found) / len(recordings))
    return sorted(found, key=lambda recording: (recording.speaker, recording.path))


def _filled(root: Path, recordings: list[Recording], layout: Layout, say: Say) -> tuple[Any, ...]:
    """Contents of the components of :func:`_report_view`."""
    speakers = summarize(recordings)
    named = {recording.path.relative_to(root).as_posix(): recording for recording in recordings}
    playable = [name for name, recording in named.items() if UNREADABLE not in recording.problems]
    ignored = {printable_path(path.relative_to(root)): why for path, why in layout.ignored.items()}
    wrong = problem_rows(named, ignored, say)
    total = say("dataset.summary").format(
        clips=len(recordings), minutes=f"{sum(speaker.minutes for speaker in speakers):.1f}"
    )
    headers = [say(f"dataset.column.{name}") for name in _COLUMNS]
    columns = [say("dataset.column.clip"), say("dataset.column.problem")]
    return (
        playable,
        gr.Markdown(f"**{total}**" + ("" if wrong else f" {say('dataset.fine')}"), visible=True),
        gr.HTML(draw_dataset(recordings, speakers, say), visible=True),
        gr.HTML(html_table(headers, speaker_rows(speakers, say)), visible=True),
        gr.Dataframe({"headers": columns, "data": wrong[:_MOST_PROBLEMS]}, visible=bool(wrong)),
        gr.Row(visible=bool(playable)),
        gr.Dropdown(playable, value=playable[0] if playable else None),
    )


def speaker_rows(speakers: Sequence[SpeakerSummary], say: Say) -> list[list[Any]]:
    """Rows of the table of speakers."""
    return [
        [
            speaker.speaker,
            speaker.clips,
            f"{speaker.minutes:.1f}",
            " / ".join(f"{seconds:.1f}" for seconds in speaker.seconds),
            " / ".join(f"{hz:.0f}" for hz in speaker.f0) if speaker.f0 else "–",
            f"{speaker.lufs:.1f}" if speaker.lufs is not None else "–",
            ", ".join(f"{n} {say(f'dataset.problem.{name}')}" for name, n in speaker.problems.items() if n)
            or "–",
        ]
        for speaker in speakers
    ]


def problem_rows(
    recordings: Mapping[str, Recording], ignored: Mapping[str, str], say: Say
) -> list[list[str]]:
    """Name and remedy of each file that is ignored or has problems, the worst first."""

    def described(recording: Recording, name: str) -> str:
        what = say(f"dataset.problem.{name}")
        if name == UNREADABLE:
            return f"{what}: {recording.reason}"
        length = f" ({recording.seconds:.1f} s)" if name.startswith("too") else ""
        return f"{what}{length}: {say(f'dataset.advice.{name}')}"

    wrong = [(name, recording) for name, recording in recordings.items() if recording.problems]
    wrong.sort(key=lambda entry: min(PROBLEMS.index(name) for name in entry[1].problems))
    return [
        *([name, say(f"dataset.ignored.{why}")] for name, why in ignored.items()),
        *(
            [name, "; ".join(described(recording, what) for what in recording.problems)]
            for name, recording in wrong
        ),
    ]


def read_excerpt(root: Path, name: str) -> tuple[int, np.ndarray]:
    """Sampling rate, Hz, and int16 samples (T,) of the first minute of a recording.

    Raises:
        ConfigError: It is not a recording in the project folder.
        AudioError: It cannot be read.
    """
    path = root / inside(root, name, "a recording")
    if path.suffix.lower() not in AUDIO_SUFFIXES:
        raise ConfigError(f"{name} is not an audio file")
    with open_audio(path) as file:
        audio = read_mono(file, int(_PLAYED * file.samplerate))
        rate = file.samplerate
    return rate, to_int16(np.nan_to_num(audio))
