"""Text to speech on the Convert tab: the speech is added to the songs."""

from __future__ import annotations

from typing import Any

import gradio as gr

from webui.context import Context
from webui.convert.tts import ESPEAK, INSTALL, installed, speak, voices
from webui.uploads import clean_stem, uploads_folder


def build_tts_panel(context: Context, songs: gr.File) -> None:
    """Lay out the panel; its speech is added to ``songs``."""
    text, usable = context.text, installed()
    with gr.Accordion(text("convert.tts"), open=False):
        for missing in sorted(INSTALL.keys() - usable):
            gr.Markdown(text(f"convert.tts.no_{missing}"))
        words = gr.Textbox(label=text("convert.tts.text"), lines=3, interactive=bool(usable))
        with gr.Row():
            name = gr.Dropdown(usable, value=None, label=text("convert.tts.program"), min_width=160)
            voice = gr.Dropdown([], label=text("convert.tts.voice"), min_width=160, interactive=True)
            speed = gr.Slider(0.5, 2, 1, step=0.05, label=text("convert.tts.rate"), min_width=160)
        button = gr.Button(text("convert.tts.speak"), interactive=bool(usable))

    def choose(name: str) -> Any:
        found = voices(name)
        usual = "en-us" if name == ESPEAK else "en-US-AriaNeural"
        return gr.Dropdown(choices=found, value=usual if usual in found else found[0])

    def add(
        uploaded: list[str] | None, words: str | None, name: str | None, voice: str | None, speed: float
    ) -> list[str]:
        folder = uploads_folder() / "speech"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / clean_stem(f"{(words or '')[:30]}.txt")
        return [*(uploaded or []), str(speak(words or "", name or "", voice or "", speed, path))]

    context.on(name.input, choose, name, voice)
    context.on(button.click, add, [songs, words, name, voice, speed], songs)
