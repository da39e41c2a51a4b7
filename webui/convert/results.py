"""Step 4 of the Convert tab: new results to play, view and download, and earlier ones."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import Dependency

from modules.dsp.audio import AUDIO_SUFFIXES
from webui.context import Context
from webui.convert.picture import draw_conversion
from webui.language import Say, in_language
from webui.paths import inside, served_path
from webui.session import ConvertedSong

NEWEST = 200  # number of earlier results that are listed
# without Gradio's button that shares a song
_PLAYER: dict[str, Any] = {"interactive": False, "min_width": 280, "buttons": ["download"]}


def build_results(
    context: Context, key: gr.Number
) -> tuple[gr.State, gr.Dropdown, Callable[[Dependency], None]]:
    """Lay out new results, with a button that writes the suggested key to ``key``.

    Returns:
        A list of ``ConvertedSong``; a menu that chooses one by its index; a function that
        shows the chosen one after an event has succeeded.
    """
    text = context.text
    converted, suggested = gr.State([]), gr.State(0)
    with gr.Column(visible=False) as column:
        choose = gr.Dropdown([], label=text("convert.result"), interactive=True)
        facts = gr.HTML()
        with gr.Column(visible=False) as advised:
            advice = gr.HTML()
            apply = gr.Button(text("convert.apply"))
        with gr.Row():
            source = gr.Audio(label=text("convert.source"), **_PLAYER)
            result = gr.Audio(label=text("convert.result"), **_PLAYER)
        picture = gr.Image(
            label=text("convert.picture"),
            show_label=False,  # it would cover the picture
            interactive=False,
            format="png",
            buttons=["download", "fullscreen"],
        )
        files = gr.File(label=text("convert.files"), file_count="multiple", interactive=False, height=120)

    def show(request: gr.Request, entries: list[ConvertedSong], number: int | None) -> tuple[Any, ...]:
        if number is None or not 0 <= number < len(entries):
            return gr.skip()
        entry, say = entries[number], in_language(request)
        conversion, sentence = entry.conversion, advice_sentence(entry, say)
        fact = say("convert.fact").format(seconds=conversion.seconds, factor=conversion.real_time_factor)
        return (
            gr.Column(visible=True),
            f"<p>{fact}</p>{choice_html(entry, say)}",
            f"<p>{html.escape(sentence)}</p>",
            gr.Column(visible=bool(sentence)),
            conversion.advice.semitones if conversion.advice else 0,
            served_path(context.root, entry.task.song),
            served_path(context.root, entry.task.result),
            [served_path(context.root, other.task.result) for other in entries],
        )

    def draw(request: gr.Request, entries: list[ConvertedSong], number: int | None) -> Any:
        if number is None or not 0 <= number < len(entries):
            return gr.skip()
        return draw_conversion(entries[number], request)

    shown = [column, facts, advice, advised, suggested, source, result, files]

    def show_after(trigger: Callable[..., Dependency]) -> None:
        context.on(trigger, show, [converted, choose], shown)
        context.on(trigger, draw, [converted, choose], picture)

    show_after(choose.input)
    context.on(apply.click, lambda value: value, suggested, key)
    return converted, choose, lambda event: show_after(event.success)


def build_history(context: Context, page: gr.Blocks) -> Callable[[Dependency], None]:
    """Lay out the files in results/, newest first; return a function that refreshes them after an event."""
    with gr.Accordion(context.text("convert.history"), open=False), gr.Row():
        name = gr.Dropdown([], label=context.text("convert.history.file"), interactive=True, min_width=280)
        player = gr.Audio(show_label=False, **_PLAYER)

    def refresh() -> Any:
        return gr.Dropdown(choices=recent_results(context.root / "results"))

    def play(chosen: str | None) -> Any:
        if not chosen:
            return None
        return served_path(context.root, context.root / inside(context.root, Path("results") / chosen))

    context.on(page.load, refresh, None, name)
    context.on(name.input, play, name, player)
    return lambda event: context.on(event.success, refresh, None, name)


def recent_results(folder: Path) -> list[str]:
    """Names of the newest results in ``folder``, newest first."""
    found = [path for path in folder.glob("[!.]*") if path.suffix.lower() in AUDIO_SUFFIXES]
    return [path.name for path in sorted(found, key=lambda path: -path.stat().st_mtime)[:NEWEST]]


def choice_html(entry: ConvertedSong, say: Say) -> str:
    """Paragraph on a key that was chosen, with its reason; empty if it was given."""
    choice = entry.conversion.choice
    if choice is None:
        return ""
    names = ("low", "middle", "high", "floor", "centre", "ceiling")
    ranges = dict(zip(names, (*choice.song, *choice.trained), strict=True))
    sentence = say("convert.choice").format(key=choice.semitones, speaker=entry.speaker, **ranges)
    return f"<p>{html.escape(sentence)}</p>"


def advice_sentence(entry: ConvertedSong, say: Say) -> str:
    """Sentence on a song outside the speaker's range, with the key that would fit; empty without advice."""
    advice = entry.conversion.advice
    if advice is None:
        return ""
    return say("convert.advice").format(
        low=advice.song_range[0],
        high=advice.song_range[1],
        speaker=entry.speaker,
        floor=advice.trained_range[0],
        ceiling=advice.trained_range[1],
        key=advice.semitones,
    )
