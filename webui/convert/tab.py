"""The Convert tab: from a voice model and songs to converted songs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from modules.common.errors import AudioError, ConfigError, GlowSVCError
from modules.dsp.audio import AUDIO_SUFFIXES, find_audio, open_audio
from webui.context import Context
from webui.convert.options import GROUPS, MAIN, field
from webui.convert.presets import build_presets, wire_presets
from webui.convert.results import build_history, build_results
from webui.convert.tts_panel import build_tts_panel
from webui.convert.voice_model import ModelPicker, find_config, loaded_html, model_config, selected_options
from webui.editor.panel import build_editor
from webui.editor.songs import OpenSongs
from webui.jobs.queue import BackgroundJob, PageJobs
from webui.lab.tracks import saved_mixes
from webui.language import Say, in_language
from webui.menus import auto_refresh
from webui.paths import CLUSTER_FILES, DIFFUSION_MODELS, find_models, inside
from webui.session import ConversionTask, ConvertedSong, Session
from webui.uploads import check_size, clean_stem, unique_names

if TYPE_CHECKING:
    from inference.options import ConvertOptions

LONG = 20  # minutes of song that bring a warning
RESULTS = Path("results")


def build_convert_tab(context: Context, session: Session, editor: OpenSongs) -> None:
    """Lay out the tab and wire it."""
    text = context.text
    page = gr.context.Context.root_block
    assert page is not None
    gr.Markdown(text("convert.model"), elem_classes="step")
    picker = ModelPicker(context)
    gr.Markdown(text("convert.songs"), elem_classes="step")
    with gr.Row():
        songs = gr.File(
            label=text("convert.upload_songs"),
            file_count="multiple",
            file_types=sorted(AUDIO_SUFFIXES),
            elem_id="songs",
            height=180,  # with less, the label covers the icon
            min_width=280,
        )
        raw = gr.Dropdown([], value=[], multiselect=True, label=text("convert.raw"), min_width=280)

    def raw_songs() -> list[str]:
        folder = context.root / "raw"
        return [path.name for path in find_audio(folder)] if folder.is_dir() else []

    auto_refresh((raw, raw_songs), button=picker.refresh)
    build_tts_panel(context, songs)
    gr.Markdown(text("convert.how"), elem_classes="step")
    fields = {**picker.fields, **_fields(context, picker.refresh)}
    presets = build_presets(context, picker.refresh)
    with gr.Row():
        start = gr.Button(text("tab.convert"), variant="primary", min_width=140)
        edit = gr.Button(text("editor.open"), min_width=140)
        cancel = gr.Button(text("common.cancel"), variant="stop", min_width=140)
    progress, pages = gr.HTML(), PageJobs()
    show_editor = build_editor(context, editor, progress, pages)
    gr.Markdown(text("convert.results"), elem_classes="step")
    results, choose, show_after = build_results(context, fields["trans"])
    refresh_history = build_history(context, page)

    names = list(fields)

    def chosen(
        uploaded: Sequence[str] | None, local: Sequence[str] | None, *values: Any
    ) -> tuple[ConvertOptions, list[Path]]:
        options = selected_options(context, dict(zip(names, values, strict=True)))
        found = [Path(path) for path in uploaded or ()]
        found += [context.root / inside(context.root, Path("raw") / name) for name in local or ()]
        return options, found

    def convert(request: gr.Request, *values: Any) -> Iterator[tuple[Any, ...]]:
        options, found = chosen(*values)
        say = in_language(request)
        tasks = plan_conversions(found, options)
        _warn_if_long(found, say)
        job = session.convert(options, tasks)
        with pages.waiting(request, job):
            yield from watch_conversion(job, session, say)

    converting = context.on(
        start.click,
        convert,
        [songs, raw, *fields.values()],
        [progress, results, choose, picker.status],
        concurrency_id="convert",
        concurrency_limit=None,  # the session's queue orders them
        show_progress="hidden",
    )
    show_after(converting)
    refresh_history(converting)

    def open_editor(page: str | None, *values: Any) -> BackgroundJob:
        options, found = chosen(*values)
        return editor.open(options, plan_conversions(found[:1], options)[0], page)

    show_editor(edit, open_editor, [songs, raw, *fields.values()])
    # not by Gradio's "cancels": the last progress could then arrive after "Cancelled"
    context.on(cancel.click, pages.cancel, show_progress="hidden")
    picker.wire(session, fields, page)
    wire_presets(context, presets, fields)


def plan_conversions(songs: Sequence[Path], options: ConvertOptions) -> list[ConversionTask]:
    """Conversions of every song to every chosen speaker.

    Raises:
        ConfigError: There is no song, or no such speaker.
    """
    from inference.output import check_format, result_name
    from inference.pipeline import MIXED

    if not songs:
        raise ConfigError("choose a song first: upload one, or put it into raw/")
    for song in songs:
        if not song.is_file():
            raise ConfigError(f"{song.name} no longer exists; choose it again")
        check_size(song)
    check_format(options.wav_format)
    config = model_config(options)
    wanted = options.spk_list or (tuple(config.spk) if len(config.spk) == 1 else ())
    if not wanted and not options.use_spk_mix:
        raise ConfigError(f"choose a speaker; the model knows: {config.known_speakers()}")
    speakers = [MIXED] if options.use_spk_mix else [config.speaker_name(speaker) for speaker in wanted]
    stems = unique_names(clean_stem(song.name) for song in songs)
    return [
        ConversionTask(song, RESULTS / result_name(stem, key, speaker, options), speaker, key)
        for song, stem, key in zip(songs, stems, options.keys(len(songs)), strict=True)
        for speaker in dict.fromkeys(speakers)
    ]


def watch_conversion(job: BackgroundJob, session: Session, say: Say) -> Iterator[tuple[Any, ...]]:
    """Yield progress, results, choice of a result and status of the model until the job has ended."""
    for bar in session.queue.watch(job, say):
        yield bar, gr.skip(), gr.skip(), gr.skip()
    if job.cancelled:
        yield f"<p>{say('common.cancelled')}</p>", gr.skip(), gr.skip(), gr.skip()
        return
    try:
        outcome: list[ConvertedSong | GlowSVCError] = job.result()
        converted = [entry for entry in outcome if isinstance(entry, ConvertedSong)]
        failures = [entry for entry in outcome if isinstance(entry, GlowSVCError)]
        if not converted:
            raise failures[0]
    except Exception:  # remove the bar; the model that was loaded before may be gone
        yield "", gr.skip(), gr.skip(), loaded_html(session, say)
        raise
    for failure in failures:
        gr.Warning(str(failure))
    choices = [(entry.task.result.name, number) for number, entry in enumerate(converted)]
    done = f"<p>{say('convert.done').format(count=len(converted))}</p>"
    yield done, converted, gr.Dropdown(choices=choices, value=0), loaded_html(session, say)


def _fields(context: Context, refresh: gr.Button) -> dict[str, Any]:
    """Lay out all options but those of the model: the main ones, then the folded groups."""
    import soundfile

    from inference.output import TAGGED_FORMATS
    from inference.pitch.scale import AUTO, CHROMATIC, scale_names

    found: dict[str, Any] = {}
    root, formats = context.root, soundfile.available_formats()
    diffusion = next(iter(find_models(root, DIFFUSION_MODELS)), "")
    special: dict[str, dict[str, Any]] = {
        "spk_list": {"choices": [], "multiselect": True, "value": []},
        "trans": {"value": 0},
        "scale": {"choices": [CHROMATIC, AUTO, *scale_names()], "allow_custom_value": False},
        "wav_format": {"choices": [name.lower() for name in TAGGED_FORMATS if name in formats]},
        "spk_mix_file": {"choices": []},
        "cluster_model_path": {"choices": []},
        "diffusion_model_path": {"choices": [], "value": diffusion},
        "diffusion_config_path": {"value": find_config(root, diffusion, "diffusion_config_path")},
    }
    with gr.Row():
        for name in MAIN:
            found[name] = field(context, name, **special.get(name, {}))
            if name == "trans":
                labels = {
                    "label": context.text("convert.auto_key"),
                    "info": context.text("convert.auto_key.help"),
                }
                found["auto_key"] = gr.Checkbox(False, min_width=200, **labels)
    for group, names in GROUPS.items():
        with gr.Accordion(context.text(f"convert.group.{group}"), open=False), gr.Row(elem_classes="options"):
            for name in names:
                found[name] = field(context, name, **special.get(name, {}))
    auto_refresh(
        (found["spk_mix_file"], lambda: saved_mixes(root)),
        (found["cluster_model_path"], lambda: ["", *find_models(root, CLUSTER_FILES)]),  # "": the default
        (found["diffusion_model_path"], lambda: find_models(root, DIFFUSION_MODELS)),
        button=refresh,
    )
    return found


def _warn_if_long(songs: Sequence[Path], say: Say) -> None:
    seconds = 0.0
    for song in songs:
        with suppress(AudioError), open_audio(song) as file:  # its conversion reports that
            seconds += file.frames / file.samplerate
    if seconds > 60 * LONG:
        gr.Warning(say("convert.long").format(minutes=seconds / 60))
