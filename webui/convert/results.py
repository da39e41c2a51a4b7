"""Step 4 of the tab Convert: results to hear, to look at and to download; and those of before."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import Dependency

from modules.dsp.audio import AUDIO_SUFFIXES
from webui.context import Context
from webui.convert.picture import draw
from webui.language import in_language
from webui.places import inside, served
from webui.session import Made
from webui.texts.convert import TEXTS
from webui.toasts import toasts

NEWEST = 200  # earlier results that are listed
_PRIVATE: dict[str, Any] = {"api_visibility": "private"}
# Gradio's own buttons would offer to share songs with others
_PLAYER: dict[str, Any] = {"interactive": False, "min_width": 280, "buttons": ["download"]}


@dataclass(frozen=True)
class Results:
    """The fields of what was made.

    Attributes:
        made: A list of ``Made``.
        choose: Chooses one, by its number.
        show: Shows it when an event has succeeded.
    """

    made: gr.State
    choose: gr.Dropdown
    show: Callable[[Dependency], None]


def build_results(context: Context, key: gr.Number) -> Results:
    """Lay out the results.

    Args:
        context: What every tab gets.
        key: The field that a better key goes to.
    """
    text = context.text
    made, better = gr.State([]), gr.State(0)
    with gr.Column(visible=False) as there:
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
            show_label=False,  # it would lie over the picture
            interactive=False,
            format="png",
            buttons=["download", "fullscreen"],
        )
        files = gr.File(label=text("convert.files"), file_count="multiple", interactive=False, height=120)

    def show(request: gr.Request, entries: list[Made], number: int | None) -> tuple[Any, ...]:
        if number is None or not 0 <= number < len(entries):
            return gr.skip()
        entry, say = entries[number], in_language(TEXTS, request)
        sentence = advice_sentence(entry, say)
        return (
            gr.Column(visible=True),
            f"<p>{fact(entry, say)}</p>",
            f"<p>{html.escape(sentence)}</p>",
            gr.Column(visible=bool(sentence)),
            entry.advice.key if entry.advice else 0,
            served(context.root, entry.take.song),
            served(context.root, entry.take.result),
            [served(context.root, other.take.result) for other in entries],
        )

    def paint(request: gr.Request, entries: list[Made], number: int | None) -> Any:
        if number is None or not 0 <= number < len(entries):
            return gr.skip()
        import io

        from PIL import Image

        return Image.open(io.BytesIO(draw(entries[number], request)))

    shown = [there, facts, advice, advised, better, source, result, files]

    def after(event: Dependency) -> None:
        event.success(toasts(show, context.debug), [made, choose], shown, **_PRIVATE)
        event.success(toasts(paint, context.debug), [made, choose], picture, **_PRIVATE)

    choose.input(toasts(show, context.debug), [made, choose], shown, **_PRIVATE)
    choose.input(toasts(paint, context.debug), [made, choose], picture, **_PRIVATE)
    apply.click(lambda value: value, better, key, **_PRIVATE)
    return Results(made, choose, after)


def build_history(context: Context, page: gr.Blocks) -> Callable[[Dependency], None]:
    """Lay out what lies in results/, newest first.

    Args:
        context: What every tab gets.
        page: Looked through again when it is opened.

    Returns:
        What has them looked through again when an event has succeeded.
    """
    with gr.Accordion(context.text("convert.history"), open=False), gr.Row():
        name = gr.Dropdown([], label=context.text("convert.history.file"), interactive=True, min_width=280)
        player = gr.Audio(show_label=False, **_PLAYER)

    def look() -> Any:
        return gr.Dropdown(choices=earlier(context.root / "results"))

    def play(chosen: str | None) -> Any:
        if not chosen:
            return None
        return served(context.root, context.root / inside(context.root, Path("results") / chosen))

    page.load(look, None, name, **_PRIVATE)
    name.input(toasts(play, context.debug), name, player, **_PRIVATE)
    return lambda event: event.success(look, None, name, **_PRIVATE)


def earlier(folder: Path) -> list[str]:
    """Return the names of the results in ``folder``, newest first."""
    if not folder.is_dir():
        return []
    found = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".")
    ]
    return [path.name for path in sorted(found, key=lambda path: -path.stat().st_mtime)[:NEWEST]]


def fact(made: Made, say: Callable[[str], str]) -> str:
    """Return how long a result is, and how long it took."""
    return say("convert.fact").format(seconds=made.seconds, factor=made.real_time_factor)


def advice_sentence(made: Made, say: Callable[[str], str]) -> str:
    """Return that a song lies outside the voice's range and which key would fit; empty if it does not."""
    advice = made.advice
    if advice is None:
        return ""
    return say("convert.advice").format(
        low=advice.low,
        high=advice.high,
        speaker=made.speaker,
        floor=advice.trained[0],
        ceiling=advice.trained[1],
        key=advice.key,
    )
