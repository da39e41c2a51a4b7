"""The Live tab: sing into the browser's microphone and hear the voice, with headphones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from inference.options import ConvertOptions
from inference.realtime.settings import RealtimeSettings, check_live
from modules.common.errors import ConfigError
from modules.f0_predictor import LIVE_PREDICTOR
from webui.context import Context
from webui.convert.options import field, read_options
from webui.convert.voice_model import find_config, model_config, onnx_models
from webui.flags import build_field
from webui.jobs.queue import Cancelled
from webui.language import in_language
from webui.live.conversion import LiveRequest, LiveSlot
from webui.menus import auto_refresh
from webui.paths import VOICE_MODELS, find_models
from webui.server import WEBSOCKETS
from webui.texts.live import MICROPHONE, WORDS
from webui.uploads import check_paths

_PANEL = '<div id="live-panel"></div>'
CSS = """
#live-panel label { display: flex; gap: 1em } #live-panel label span { width: 7em }
#live-panel meter { flex: 1; min-width: 0 }
"""


def build_live_tab(context: Context, slot: LiveSlot) -> None:
    """Lay out the tab and wire it."""
    text, root = context.text, context.root
    gr.Markdown(text("live.intro"))
    first = next(iter(_models(root)), "")
    with gr.Row():
        model = gr.Dropdown(_models(root), value=first, label=text("live.model"), scale=2)
        speaker = gr.Dropdown([], label=text("live.speaker"), scale=1)
        key = gr.Slider(-24, 24, 0, step=1, label=text("option.trans"), scale=2)
    with gr.Accordion(text("common.more"), open=False), gr.Row(elem_classes="options"):
        predictor = field(context, "f0_predictor", value=LIVE_PREDICTOR)
        times = [
            build_field(
                float,
                setting.default,
                label=text(f"live.time.{setting.name}"),
                info=text(f"live.time.{setting.name}.help"),
            )
            for setting in fields(RealtimeSettings)
        ]
    record = gr.Checkbox(False, label=text("live.record"), info=text("live.record.help"))
    with gr.Row():
        start = gr.Button(text("live.start"), variant="primary", min_width=140)
        stop = gr.Button(text("live.stop"), variant="stop", min_width=140)
    progress = gr.HTML()
    gr.HTML(_PANEL)
    recording = gr.File(label=text("live.recording"), interactive=False, visible=False)
    microphone, ticket = gr.Textbox(visible=False), gr.Textbox(visible=False)
    auto_refresh((model, lambda: _models(root)))

    def speakers(name: str) -> Any:
        try:
            known = list(model_config(_options(root, name)).spk)
        except ConfigError:  # starting reports it
            known = []
        return gr.Dropdown(choices=known, value=known[0] if known else None)

    def begin(
        request: gr.Request,
        why: str,
        name: str,
        who: str,
        semitones: float,
        f0: str,
        keep: bool,
        *given: float,
    ) -> Iterator[tuple[Any, ...]]:
        say = in_language(request)
        yield "", "", gr.skip()
        if not WEBSOCKETS:
            raise ConfigError(say("live.no_websockets"))
        if why:
            raise ConfigError(say(f"live.microphone.{why if why in MICROPHONE else 'busy'}"))
        options = replace(_options(root, name), f0_predictor=read_options({"f0_predictor": f0}).f0_predictor)
        wanted = LiveRequest(options, _settings(given), who or "", float(semitones or 0), bool(keep))
        conversion = slot.begin(wanted, request.session_hash)
        try:
            for bar in slot.queue.watch(conversion.job, say):
                if conversion.ready.is_set():
                    break
                yield bar, "", gr.skip()
            if conversion.job.finished.is_set():
                conversion.job.result()
        except BaseException:
            conversion.end()
            raise
        words = {word: say(f"live.{word}") for word in WORDS}
        yield "", json.dumps({"ticket": conversion.ticket, "words": words}), gr.File(visible=False)

    def change(request: gr.Request, who: str, semitones: float) -> None:
        if conversion := slot.of_page(request.session_hash):
            conversion.change(who or "", float(semitones or 0))

    def finish(request: gr.Request) -> Any:
        conversion = slot.of_page(request.session_hash)
        if conversion is None:
            return gr.skip()
        conversion.end()
        try:
            path = conversion.job.result()
        except Cancelled:
            path = conversion.recording
        return gr.File(str(path), visible=True) if path else gr.skip()

    on = partial(context.on, show_progress="hidden")
    page = gr.context.Context.root_block
    assert page is not None
    on(model.change, speakers, model, speaker)
    on(page.load, speakers, model, speaker)
    starting = on(
        start.click,
        begin,
        [microphone, model, speaker, key, predictor, record, *times],
        [progress, ticket, recording],
        js="async (...values) => [await glowLive.askMicrophone(), ...values.slice(1)]",
        concurrency_limit=None,
    )
    starting.then(None, ticket, None, js="ticket => glowLive.run(ticket)", api_visibility="private")
    for component in (speaker, key):
        on(component.input, change, [speaker, key], None)
    on(stop.click, finish, None, recording, js="() => glowLive.release()", concurrency_limit=None)


def _models(root: Path) -> list[str]:
    """Voice models, and folders of exported ones."""
    return [*find_models(root, VOICE_MODELS), *onnx_models(root)]


def _options(root: Path, model: str | None) -> ConvertOptions:
    """Options of a conversion with a model.

    Raises:
        ConfigError: None is chosen, it is outside the project, or a stream cannot have it.
    """
    if not model:
        raise ConfigError("choose a model first: put one into trained/ or logs/")
    exported = model in onnx_models(root)
    named = (
        {"onnx": model}
        if exported
        else {"model_path": model, "config_path": find_config(root, model, "config_path")}
    )
    options = check_paths(root, read_options(named))
    check_live(options)
    return options


def _settings(given: tuple[float | None, ...]) -> RealtimeSettings:
    """Settings from the fields, in their order; an empty one is the default."""
    chosen = zip(fields(RealtimeSettings), given, strict=True)
    return RealtimeSettings(**{setting.name: float(value) for setting, value in chosen if value is not None})
