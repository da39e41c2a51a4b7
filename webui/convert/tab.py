"""The tab Convert: songs in, the same songs in another voice out, and a look at what became of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from modules.common.errors import ConfigError, GlowSVCError
from modules.dsp.audio import AUDIO_SUFFIXES, find_audio
from webui.context import Context
from webui.convert.options import FIRST, GROUPS, field
from webui.convert.results import build_history, build_results
from webui.convert.tts_panel import build_speech
from webui.convert.voice_model import (
    beside,
    build_picker,
    loaded_html,
    picked_options,
    voice_config,
    wire_picker,
)
from webui.jobs.queue import Job, PageJobs
from webui.jobs.status import as_html
from webui.lab.tracks import saved
from webui.language import in_language
from webui.menus import keep_current
from webui.places import DIFFUSIONS, TIMBRES, find_models, inside
from webui.session import Made, Session, Take
from webui.texts.convert import TEXTS
from webui.toasts import toasts
from webui.uploads import check_size, clean_stem, different

if TYPE_CHECKING:
    from inference.options import ConvertOptions

LONG = 20  # minutes of song from which on one is told that it takes a while
RESULTS = Path("results")


def build(context: Context, session: Session) -> None:
    """Lay the tab out and wire it."""
    text = context.text
    page = gr.context.Context.root_block
    assert page is not None
    gr.Markdown(text("convert.voice"), elem_classes="step")
    picker = build_picker(context)
    gr.Markdown(text("convert.songs"), elem_classes="step")
    with gr.Row():
        songs = gr.File(
            label=text("convert.upload_songs"),
            file_count="multiple",
            file_types=sorted(AUDIO_SUFFIXES),
            elem_id="songs",
            height=180,  # less has its label lie over its sign
            min_width=280,
        )
        raw = gr.Dropdown(
            songs_in_raw(context), value=[], multiselect=True, label=text("convert.raw"), min_width=280
        )
    keep_current((raw, lambda: songs_in_raw(context)))
    build_speech(context, songs)
    gr.Markdown(text("convert.how"), elem_classes="step")
    fields = {**picker.fields, **_fields(context)}
    with gr.Row():
        start = gr.Button(text("convert.convert"), variant="primary", min_width=140)
        cancel = gr.Button(text("convert.cancel"), variant="stop", min_width=140)
    progress = gr.HTML()
    gr.Markdown(text("convert.results"), elem_classes="step")
    results = build_results(context, fields["trans"])
    look_again = build_history(context, page)

    names = list(fields)
    pages = PageJobs()

    def convert(
        request: gr.Request, uploaded: Sequence[str] | None, local: Sequence[str] | None, *values: Any
    ) -> Iterator[tuple[Any, ...]]:
        options = picked_options(context, dict(zip(names, values, strict=True)))
        say = in_language(TEXTS, request)
        found = [Path(path) for path in uploaded or ()]
        found += [context.root / inside(context.root, Path("raw") / name) for name in local or ()]
        takes = plan_takes(found, options)
        _warn_if_long(found, say)
        job = session.convert(options, takes)
        with pages.waiting(request.session_hash, job):
            yield from _watch(job, session, say)

    going = start.click(
        toasts(convert, context.debug),
        [songs, raw, *fields.values()],
        [progress, results.made, results.choose, picker.status],
        concurrency_id="convert",
        concurrency_limit=None,  # they take turns in the session's line
        show_progress="hidden",
        api_visibility="private",
    )

    results.show(going)
    look_again(going)

    def cancel_job(request: gr.Request) -> None:
        pages.cancel(request.session_hash)

    # not by Gradio's "cancels": what was yielded last would then come after what says that it is cancelled
    cancel.click(cancel_job, show_progress="hidden", api_visibility="private")
    picker.refresh.click(
        lambda: gr.Dropdown(choices=songs_in_raw(context)), None, raw, api_visibility="private"
    )
    wire_picker(context, session, picker, fields, page)


def plan_takes(songs: Sequence[Path], options: ConvertOptions) -> list[Take]:
    """Return every song in every voice that is asked for, with the file that each becomes.

    Raises:
        ConfigError: There is no song, or no such voice.
    """
    from inference.output import check_format, result_name
    from inference.pipeline import MIXED

    if not songs:
        raise ConfigError("choose a song first: upload one, or put it into raw/")
    for song in songs:
        if not song.is_file():
            raise ConfigError(f"{song.name} is not there any more; choose it again")
        check_size(song)
    check_format(options.wav_format)
    config = voice_config(options)
    wanted = options.spk_list or (tuple(config.spk) if len(config.spk) == 1 else ())
    if not wanted and not options.use_spk_mix:
        raise ConfigError(f"choose a speaker; the model knows: {', '.join(config.spk)}")
    speakers = [MIXED] if options.use_spk_mix else [config.speaker_name(speaker) for speaker in wanted]
    stems = different(clean_stem(song.name) for song in songs)
    return [
        Take(song, RESULTS / result_name(stem, key, speaker, options), speaker, key)
        for song, stem, key in zip(songs, stems, options.keys(len(songs)), strict=True)
        for speaker in dict.fromkeys(speakers)
    ]


def songs_in_raw(context: Context) -> list[str]:
    """Return the names of the songs in raw/."""
    folder = context.root / "raw"
    return [path.relative_to(folder).as_posix() for path in find_audio(folder)] if folder.is_dir() else []


def timbres(context: Context) -> list[str]:
    """Return the k-means models and retrieval indices, after the default, which is no name."""
    return ["", *find_models(context.root, TIMBRES)]


def _watch(job: Job, session: Session, say: Callable[[str], str]) -> Iterator[tuple[Any, ...]]:
    """Yield the progress of a conversion, and at the end the results or that it was cancelled."""
    while not job.finished.wait(0.3) and not job.cancelled:
        yield as_html(job, session, say), gr.skip(), gr.skip(), gr.skip()
    if job.cancelled:  # it ends by itself at its next report
        yield f"<p>{say('convert.cancelled')}</p>", gr.skip(), gr.skip(), gr.skip()
        return
    try:
        outcome: list[Made | GlowSVCError] = job.result()
        made = [entry for entry in outcome if isinstance(entry, Made)]
        failures = [entry for entry in outcome if isinstance(entry, GlowSVCError)]
        if not made:
            raise failures[0]
    except Exception:  # no bar stays, and the voice of before may be gone
        yield "", gr.skip(), gr.skip(), loaded_html(session, say)
        raise
    for failure in failures:
        gr.Warning(str(failure))
    choices = [(entry.take.result.name, number) for number, entry in enumerate(made)]
    done = f"<p>{say('convert.done').format(count=len(made))}</p>"
    yield done, made, gr.Dropdown(choices=choices, value=0), loaded_html(session, say)


def _fields(context: Context) -> dict[str, Any]:
    """Lay out every option that does not name the voice: the simple ones, then the others, folded."""
    found: dict[str, Any] = {}
    diffusions = find_models(context.root, DIFFUSIONS)
    special: dict[str, dict[str, Any]] = {
        "spk_list": {"choices": [], "multiselect": True, "value": []},
        "trans": {"value": 0},
        "wav_format": {"choices": _formats()},
        "spk_mix_file": {"choices": saved(context.root)},
        "cluster_model_path": {"choices": timbres(context)},
        "diffusion_model_path": {"choices": diffusions, "value": (diffusions or [""])[0]},
        "diffusion_config_path": {"value": beside((diffusions or [""])[0], "diffusion_config_path")},
    }
    with gr.Row():
        for name in FIRST:
            found[name] = field(context, name, **special.get(name, {}))
    for group, names in GROUPS.items():
        with gr.Accordion(context.text(f"convert.group.{group}"), open=False), gr.Row(elem_classes="options"):
            for name in names:
                found[name] = field(context, name, **special.get(name, {}))
    keep_current(
        (found["spk_mix_file"], lambda: saved(context.root)),
        (found["cluster_model_path"], lambda: timbres(context)),
    )
    return found


def _formats() -> list[str]:
    import soundfile

    from inference.output import TAGGED_FORMATS

    return [name.lower() for name in TAGGED_FORMATS if name in soundfile.available_formats()]


def _warn_if_long(songs: Sequence[Path], say: Callable[[str], str]) -> None:
    import soundfile

    seconds = 0.0
    for song in songs:
        try:
            seconds += soundfile.info(song).duration
        except soundfile.LibsndfileError:  # said when it is its turn
            continue
    if seconds > 60 * LONG:
        gr.Warning(say("convert.long").format(minutes=seconds / 60))
