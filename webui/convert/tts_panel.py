"""Text to speech on the Convert tab: the speech is added to the songs."""

from __future__ import annotations

from typing import Any

import gradio as gr

from webui.context import Context
from webui.convert.tts import ESPEAK, programs, speak, voices
from webui.uploads import clean_stem, uploads_folder


def build_tts_panel(context: Context, songs: gr.File) -> None:
    """Lay out the panel; its speech is added to ``songs``."""
    text, found = context.text, programs()
    usable = [name for name, program in found.items() if not program.missing]
    with gr.Accordion(text("convert.tts"), open=False):
        for name, program in found.items():
            if program.missing:
                gr.Markdown(text(f"convert.tts.no_{name}"))
        words = gr.Textbox(label=text("convert.tts.text"), lines=3, interactive=bool(usable))
        with gr.Row():
            speaker = gr.Dropdown(usable, value=None, label=text("convert.tts.program"), min_width=160)
            voice = gr.Dropdown([], label=text("convert.tts.voice"), min_width=160, interactive=True)
            speed = gr.Slider(0.5, 2, 1, step=0.05, label=text("convert.tts.rate"), min_width=160)
        button = gr.Button(text("convert.tts.speak"), interactive=bool(usable))

    def choose(chosen: str) -> Any:
        there = voices(chosen)
        usual = "en-us" if chosen == ESPEAK else "en-US-AriaNeural"
        return gr.Dropdown(choices=there, value=usual if usual in there else there[0])

    def say(uploaded: list[str] | None, *spoken: Any) -> list[str]:
        written, chosen, by, fast = spoken
        folder = uploads_folder() / "speech"
        folder.mkdir(parents=True, exist_ok=True)
        path = speak(
            written or "", chosen or "", by or "", fast, folder / clean_stem(f"{(written or '')[:30]}.txt")
        )
        return [*(uploaded or []), str(path)]

    context.on(speaker.input, choose, speaker, voice)
    context.on(button.click, say, [songs, words, speaker, voice, speed], songs)
