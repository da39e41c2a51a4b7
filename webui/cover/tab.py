"""The Cover tab: a whole song in another voice, its stages, its parts, and a mixer for them."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from inference.cover.mix import ACAPPELLA, BACKING, COVER, INSTRUMENTAL, LEAD, PICTURE, VOCALS
from inference.cover.options import LEVELS
from inference.options.checks import AUTO_KEY
from modules.common.errors import ConfigError
from modules.dsp.audio import AUDIO_SUFFIXES, find_audio
from webui.context import Context
from webui.convert.options import read_options
from webui.convert.voice_model import find_config, model_config
from webui.flags import Flags
from webui.jobs.panel import Panel
from webui.language import in_language
from webui.menus import auto_refresh
from webui.paths import VOICE_MODELS, find_models, inside, served_path
from webui.uploads import check_size, is_upload

SONG_SUFFIXES = sorted({*AUDIO_SUFFIXES, ".m4a", ".aac", ".mp4", ".wma", ".webm", ".mkv"})  # through ffmpeg
ENDING = "_cover"  # of the folders in results/
NEWEST = 100
# parts that a slider moves, by the option of their level; the others are only to be heard
MIXED = dict(zip(LEVELS, (ACAPPELLA, BACKING, INSTRUMENTAL), strict=True))
OTHERS = (COVER, LEAD, VOCALS)
CSS = """
#cover-mixer { display: grid; grid-template-columns: auto 1fr; gap: .4em 1em; align-items: center }
#cover-mixer audio { width: 100%; height: 36px } #cover-mixer .transport { grid-column: 1 / -1 }
#cover-mixer .transport { display: flex; gap: 1em; align-items: center } #cover-mixer input { flex: 1 }
"""


def build_cover_tab(context: Context) -> None:
    """Lay out the tab and wire it."""
    text, root = context.text, context.root
    gr.Markdown(text("cover.intro"))
    first = next(iter(find_models(root, VOICE_MODELS)), "")
    with gr.Row():
        song = gr.File(
            label=text("cover.song"),
            file_types=SONG_SUFFIXES,
            elem_id="cover-song",
            height=140,
            min_width=280,
        )
        with gr.Column(min_width=280):
            raw = gr.Dropdown([], value=None, label=text("cover.raw"))
            model = gr.Dropdown(find_models(root, VOICE_MODELS), value=first, label=text("cover.model"))
    with gr.Row():
        speaker = gr.Dropdown([], label=text("cover.speaker"))
        key = gr.Slider(-24, 24, 0, step=1, label=text("option.trans"), info=text("cover.key.help"))
        auto_key = gr.Checkbox(False, label=text("convert.auto_key"), info=text("cover.auto_key.help"))
    with gr.Row(elem_classes="options"):
        flags = Flags(context, "cover", ["separator", "backing", "instrumental_key", "dry"])
    start = gr.Button(text("cover.start"), variant="primary")
    panel = Panel(context, "cover")
    gr.Markdown(text("cover.results"), elem_classes="step")
    chosen = gr.Dropdown([], label=text("cover.chosen"), interactive=True, elem_id="cover-chosen")
    with gr.Row():
        levels = [
            gr.Slider(-24, 12, 0, step=0.5, label=text(f"cover.{name}"), elem_id=f"cover-{name}")
            for name in LEVELS
        ]
    gr.HTML('<div id="cover-mixer"></div>')
    picture = gr.Image(show_label=False, interactive=False, visible=False, buttons=["download", "fullscreen"])
    files = gr.File(label=text("convert.files"), file_count="multiple", interactive=False, height=140)
    words = gr.Textbox(visible=False)
    auto_refresh(
        (raw, lambda: _raw_songs(root)),
        (model, lambda: find_models(root, VOICE_MODELS)),
        (chosen, lambda: covers(root)),
    )

    def arguments(
        upload: str | None,
        name: str | None,
        path: str,
        who: str | None,
        semitones: float,
        chosen_key: bool,
        *values: Any,
    ) -> list[str]:
        settings, decibels = values[: len(flags.fields)], values[len(flags.fields) :]
        return [
            _song(root, upload, name),
            f"--model_path={inside(root, path, 'a voice model').as_posix()}",
            *([f"--spk_list={who}"] if who else []),
            *([f"--trans={AUTO_KEY if chosen_key else f'{semitones:g}'}"] if semitones or chosen_key else []),
            *flags.arguments(*settings),
            *(f"--{level}={value:g}" for level, value in zip(LEVELS, decibels, strict=True) if value),
        ]

    def speakers(path: str | None) -> Any:
        try:
            known = list(model_config(_options(root, path)).spk)
        except ConfigError:  # starting reports it
            known = []
        return gr.Dropdown(choices=known, value=known[0] if known else None)

    def newest(before: str | None) -> Any:
        found = covers(root)
        job = panel.process.status()
        return gr.Dropdown(choices=found, value=found[0] if found and job and not job.alive else before)

    def show(request: gr.Request, name: str | None) -> tuple[Any, ...]:
        if not name:
            return gr.skip()
        folder = root / inside(root, Path("results") / name, "a cover")
        say = in_language(request)
        parts = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix in SONG_SUFFIXES}
        labels = {part: say(f"cover.part.{part}") for part in (*MIXED.values(), *OTHERS) if part in parts}
        shown = [served_path(root, parts[part]) for part in labels]
        drawn = folder / PICTURE
        return (
            shown,
            json.dumps({"labels": labels, "play": say("cover.play"), "pause": say("cover.pause")}),
            gr.Image(served_path(root, drawn) if drawn.is_file() else None, visible=drawn.is_file()),
        )

    page = gr.context.Context.root_block
    assert page is not None
    on = partial(context.on, show_progress="hidden")
    on(model.change, speakers, model, speaker)
    on(page.load, speakers, model, speaker)
    panel.starts(
        start, "cover.py", arguments, [song, raw, model, speaker, key, auto_key, *flags.fields, *levels]
    )
    on(panel.status.change, newest, chosen, chosen)
    showing = on(chosen.change, show, chosen, [files, words, picture])
    showing.then(
        None,
        [files, words, *levels],
        None,
        js="(...given) => glowCover.show(...given)",
        api_visibility="private",
    )
    for slider in levels:
        slider.change(None, levels, None, js="(...levels) => glowCover.mix(levels)", api_visibility="private")


def covers(root: Path) -> list[str]:
    """Folders of covers in results/, newest first."""
    found = [path for path in (root / "results").glob(f"[!.]*{ENDING}") if path.is_dir()]
    return [path.name for path in sorted(found, key=lambda path: -path.stat().st_mtime)[:NEWEST]]


def _raw_songs(root: Path) -> list[str]:
    folder = root / "raw"
    return ["", *(path.name for path in find_audio(folder))] if folder.is_dir() else [""]


def _song(root: Path, upload: str | None, name: str | None) -> str:
    """Path of the chosen song, for a script in the project folder.

    Raises:
        ConfigError: None is chosen, it is empty, or lies elsewhere.
    """
    if upload and is_upload(upload):
        check_size(Path(upload))
        return str(upload)
    if not name:
        raise ConfigError("choose a song first: upload one, or put it into raw/")
    return inside(root, Path("raw") / name, "a song").as_posix()


def _options(root: Path, model: str | None) -> Any:
    path = inside(root, model, "a voice model").as_posix()
    return read_options({"model_path": path, "config_path": find_config(root, path, "config_path")})
