"""The pitch editor on the Convert tab: its place, and what opens a song in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from webui.context import Context
from webui.editor.songs import OpenSongs
from webui.jobs.queue import BackgroundJob, PageJobs
from webui.language import in_language
from webui.texts.editor import WORDS

_PLACE = '<div id="pitch-editor"></div>'
CSS = """
#pitch-editor canvas { display: block; width: 100%; touch-action: none; border-radius: 4px }
#pitch-editor .pitch-canvas { height: min(62vh, 480px) }
#pitch-editor .pitch-canvas:focus-visible { outline: 2px solid var(--color-accent); outline-offset: 1px }
#pitch-editor .pitch-overview { height: 26px; margin-top: 4px; cursor: pointer }
#pitch-editor .pitch-bar { display: flex; flex-wrap: wrap; gap: 6px 14px; margin-bottom: 6px }
#pitch-editor .pitch-group { display: flex; flex-wrap: wrap; gap: 4px; align-items: center }
#pitch-editor button, #pitch-editor select {
  min-height: 34px; min-width: 34px; margin: 0; padding: 2px 9px; border-radius: 6px; font-size: 14px;
  width: auto; appearance: auto; box-shadow: none; font-weight: 500;
  border: 1px solid var(--border-color-primary); background: var(--button-secondary-background-fill);
  color: var(--body-text-color) }
#pitch-editor button[aria-pressed=true] { background: var(--color-accent); color: white }
#pitch-editor button:disabled { opacity: .45 }
#pitch-editor label { display: flex; gap: 6px; align-items: center; font-size: 14px }
#pitch-editor input[type=range] { width: 90px } #pitch-editor output { width: 3.4em }
#pitch-editor .pitch-status { min-height: 1.5em; margin-top: 4px }
#pitch-editor .pitch-wrong { color: var(--error-text-color, #b91c1c) }
"""


Start = Callable[..., BackgroundJob]  # queues opening, of a page's session and the values of its fields


def build_editor(
    context: Context, songs: OpenSongs, progress: gr.HTML, pages: PageJobs
) -> Callable[[gr.Button, Start, list[Any]], None]:
    """Lay out the place of the editor; ``progress`` shows what opening a song does.

    Returns:
        A function that lets a button open the song that a function of its fields starts to open.
    """
    from inference.pitch.scale import AUTO, CHROMATIC, scale_names

    gr.HTML(_PLACE, padding=False)
    ticket = gr.Textbox(visible=False)
    page = gr.context.Context.root_block
    assert page is not None

    def close(request: gr.Request) -> None:
        songs.close_page(request.session_hash)

    def wire(button: gr.Button, start: Start, inputs: list[Any]) -> None:
        def open_song(request: gr.Request, *values: Any) -> Iterator[tuple[str, str]]:
            say = in_language(request)
            yield "", ""
            job = start(request.session_hash, *values)
            with pages.waiting(request, job):
                for bar in songs.session.queue.watch(job, say):
                    yield bar, ""
                if job.cancelled:
                    yield f"<p>{say('common.cancelled')}</p>", ""
                    return
                try:
                    opened = job.result()
                except Exception:  # remove the bar
                    yield "", ""
                    raise
            words = {word: say(f"editor.{word}") for word in WORDS}
            given = {"ticket": opened.ticket, "words": words, "scales": [CHROMATIC, AUTO, *scale_names()]}
            yield "", json.dumps(given)

        opening = context.on(
            button.click,
            open_song,
            inputs,
            [progress, ticket],
            concurrency_id="convert",
            concurrency_limit=None,
            show_progress="hidden",
        )
        show = "ticket => glowEditor.open(ticket)"
        opening.success(None, ticket, None, js=show, api_visibility="private")

    page.unload(close)
    return wire
