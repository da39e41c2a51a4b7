"""Step 1 of the Convert tab: choose, upload, load and unload a voice model."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from inference import voice_config
from inference.options.checks import AUTO_KEY
from modules.common.errors import ConfigError
from webui.context import Context
from webui.convert.options import MODEL, default, field, read_options
from webui.jobs.queue import BackgroundJob
from webui.language import Say, in_language
from webui.menus import auto_refresh
from webui.paths import CLUSTER_FILES, VOICE_MODELS, find_models
from webui.session import Session, devices
from webui.uploads import LARGEST, check_paths, check_size, is_upload, usable_path

if TYPE_CHECKING:
    from inference.options import ConvertOptions
    from modules.config import Config

# option that an uploaded file is for, by its suffix; a .pt file may also be a k-means model
KINDS = {
    ".pth": "model_path",
    ".safetensors": "model_path",
    ".json": "config_path",
    ".pt": "diffusion_model_path",
    ".yaml": "diffusion_config_path",
    ".yml": "diffusion_config_path",
    ".pkl": "cluster_model_path",
}


class ModelPicker:
    """Components that choose a voice model; ``fields`` are those of ``MODEL``, by name of the option."""

    def __init__(self, context: Context) -> None:
        self.context = context
        text, root = context.text, context.root
        first = next(iter(find_models(root, VOICE_MODELS)), "")
        with gr.Row():
            model = field(context, "model_path", [], value=first, scale=3)
            config = field(context, "config_path", value=find_config(root, first, "config_path"), scale=3)
            device = field(context, "device", [("auto", "")], value="", scale=2)
        with gr.Accordion(text("convert.upload_model"), open=False):
            gr.Markdown(text("convert.upload_model.help"))
            self._upload = gr.File(
                file_count="multiple",
                file_types=list(KINDS),
                show_label=False,
                height=120,
                elem_id="voice-files",
            )
            onnx = field(context, "onnx", [])
        with gr.Accordion(text("convert.instant"), open=False):
            gr.Markdown(text("convert.instant.help"))
            self._recording = gr.Audio(
                sources=["upload", "microphone"],
                type="filepath",
                label=text("convert.instant.recording"),
                elem_id="recording",
            )
        with gr.Row():
            self.refresh = gr.Button(text("common.refresh"), min_width=100)
            self._load = gr.Button(text("convert.load"), variant="primary", min_width=100)
            self._unload = gr.Button(text("convert.unload"), min_width=100)
        self.status = gr.HTML()
        self.fields = dict(zip(MODEL, (model, config, onnx, device), strict=True))
        auto_refresh(
            (model, lambda: find_models(root, VOICE_MODELS)),
            (onnx, lambda: ["", *onnx_models(root)]),
            button=self.refresh,
        )

    def wire(self, session: Session, fields: Mapping[str, Any], page: gr.Blocks) -> None:
        """Connect the picker with all ``fields`` of the tab, by name of the option, as ``page`` loads."""
        context = self.context
        named = (*dict.fromkeys(KINDS.values()), "feature_retrieval")
        paths = [fields[name] for name in named]
        names, everything = list(fields), list(fields.values())

        def open_page(model: str) -> tuple[Any, ...]:
            models = find_models(context.root, VOICE_MODELS)
            # a choice is kept: on a slow machine it may have been made before this runs
            first = models[0] if not model and models else gr.skip()
            return gr.Dropdown(choices=[("auto", ""), *devices()]), first

        def sort_uploads(files: Sequence[str] | None, *values: Any) -> list[Any]:
            return assign_uploads(files or (), dict(zip(named, values, strict=True)))

        def speakers(*values: Any) -> Any:
            given = dict(zip(names, values, strict=True))
            try:
                config = model_config(selected_options(context, given))
            except ConfigError:  # as a half-typed path; loading reports it
                return gr.skip()
            kept = [name for name in given["spk_list"] or () if name in config.spk]
            return gr.Dropdown(choices=list(config.spk), value=kept or list(config.spk)[:1])

        def load(request: gr.Request, *values: Any) -> Iterator[Any]:
            options = selected_options(context, dict(zip(names, values, strict=True)))
            yield from watch_loading(session.load(options), session, in_language(request))

        def load_instant(request: gr.Request, recording: str, *values: Any) -> Iterator[Any]:
            given = dict(zip(names, values, strict=True))
            job = session.load_instant(Path(recording), lambda model: instant_options(context, given, model))
            yield from watch_instant(job, session, in_language(request))

        def unload(request: gr.Request) -> str:
            session.unload()
            return f"<p>{in_language(request)('convert.unloaded')}</p>"

        def show_status(request: gr.Request) -> str:
            return loaded_html(session, in_language(request))

        on = partial(context.on, show_progress="hidden")
        model, speaker = fields["model_path"], fields["spk_list"]
        opening = on(page.load, open_page, model, [fields["device"], model])
        on(opening.then, speakers, everything, speaker)
        on(page.load, show_status, None, self.status)
        for name, other in (
            ("model_path", "config_path"),
            ("diffusion_model_path", "diffusion_config_path"),
        ):
            on(
                fields[name].change,
                partial(matching_config, context.root, option=other),
                [fields[name], fields[other]],
                fields[other],
            )
        changes = ("config_path", "onnx", "only_diffusion", "diffusion_config_path")
        on(partial(gr.on, [fields[name].change for name in changes]), speakers, everything, speaker)
        on(self._upload.upload, sort_uploads, [self._upload, *paths], paths)
        on(self._load.click, load, everything, [self.status, speaker], concurrency_limit=None)
        recorded = [self._recording.upload, self._recording.stop_recording]
        inputs, outputs = [self._recording, *everything], [self.status, speaker, model]
        on(partial(gr.on, recorded), load_instant, inputs, outputs, concurrency_limit=None)
        on(self._unload.click, unload, None, self.status)


def find_config(root: Path, model: str | None, option: str) -> str:
    """Path of the configuration beside a model, relative to ``root`` or of an upload.

    Empty if there is none, or several, or the model is neither in the project nor an upload.
    """
    try:
        path = usable_path(root, model or "")
    except ConfigError:
        return ""
    beside = voice_config.find_config(str(root / path), option)
    return path.with_name(Path(beside).name).as_posix() if beside else ""


def matching_config(root: Path, model: str | None, known: str | None, option: str) -> str:
    """Path of the configuration beside a model that was chosen; ``known`` is what the field holds.

    Uploads lie each in a folder of its own, so an uploaded one stays with an uploaded model. Any
    other is emptied if there is none: that of another model would give the voice a wrong name.
    """
    uploaded = all(is_upload(path) for path in (model, known))
    return find_config(root, model, option) or (str(known) if uploaded else "")


def onnx_models(root: Path) -> list[str]:
    """Folders of models that onnx_export.py wrote."""
    return [
        folder.relative_to(root).as_posix()
        for folder in sorted((root / "checkpoints").glob("*/"))
        if folder.is_dir() and folder.with_name(f"{folder.name}.json").is_file()
    ]


def assign_uploads(files: Sequence[str], known: Mapping[str, Any]) -> list[Any]:
    """Values of the fields with each uploaded file in the one that it is for.

    Retrieval is switched on for an index, and off for a k-means model.

    Raises:
        ConfigError: A file is empty, too large, or of an unknown kind.
    """
    values = dict(known)
    for file in map(Path, files):
        kind = KINDS.get(file.suffix.lower())
        if kind is None:
            raise ConfigError(f"{file.name} is not a model file; upload {', '.join(KINDS)} files")
        check_size(file)
        if file.stat().st_size > LARGEST:
            raise ConfigError(f"{file.name} is larger than {LARGEST / 2**30:g} GB")
        if file.suffix.lower() == ".pt" and _is_kmeans(file):
            kind = "cluster_model_path"
        if kind == "cluster_model_path":
            values["feature_retrieval"] = file.suffix.lower() == ".pkl"
        values[kind] = str(file)
    return list(values.values())


def _is_kmeans(file: Path) -> bool:
    """Whether a file is a k-means model, by its content or, if that is not recognised, by its name."""
    from modules.checkpoint import describe_file

    if seems := describe_file(file):
        return "a k-means file" in seems
    return any(fnmatch(file.name, pattern) for pattern in CLUSTER_FILES)


def model_config(options: ConvertOptions) -> Config:
    """Settings of the model that the options name, without loading it; raises ConfigError."""
    if options.onnx:
        from modules.onnx.manifest import read_manifest

        return read_manifest(options.onnx).config
    return voice_config.load_voice(options)[0]


def watch_loading(job: BackgroundJob, session: Session, say: Say) -> Iterator[tuple[Any, ...]]:
    """Yield status of the model and its speakers until the job has ended."""
    try:
        for bar in session.queue.watch(job, say):
            yield bar, gr.skip()
        config = job.result()
    except Exception:  # remove the bar; the model that was loaded before is gone
        yield loaded_html(session, say), gr.skip()
        raise
    finally:
        job.cancel()
    yield loaded_html(session, say), gr.Dropdown(choices=list(config.spk))


def watch_instant(job: BackgroundJob, session: Session, say: Say) -> Iterator[tuple[Any, ...]]:
    """Yield status of the model, its speaker and its path until the job of an instant voice has ended."""
    try:
        for bar in session.queue.watch(job, say):
            yield bar, gr.skip(), gr.skip()
        options = job.result()
    except Exception:  # remove the bar
        yield loaded_html(session, say), gr.skip(), gr.skip()
        raise
    finally:
        job.cancel()
    speakers = list(model_config(options).spk)
    yield (
        loaded_html(session, say),
        gr.Dropdown(choices=speakers, value=speakers, multiselect=True),
        options.model_path,
    )


def instant_options(context: Context, values: Mapping[str, Any], model: str) -> ConvertOptions:
    """Options from the values of the tab's fields, with the ``model`` of an instant voice."""
    replaced = {"model_path": model, "config_path": "", "onnx": "", "only_diffusion": False, "spk_list": ()}
    return selected_options(context, {**values, **replaced})


def loaded_html(session: Session, say: Say) -> str:
    """Sentence on what is loaded."""
    config, options = session.config, session.options
    if config is None or options is None:
        return f"<p>{say('convert.no_model')}</p>"
    name = Path(options.voice_path)
    sentence = say("convert.loaded").format(
        model=name.name,
        device=session.device,
        speakers=", ".join(config.spk) or config.model.n_speakers,
        encoder=config.model.speech_encoder,
        vocoder=config.model.vocoder_name,
        rate=config.data.sampling_rate,
    )
    formats = [f"{say(f'convert.stage.{stage}')} {name}" for stage, name in session.formats.items()]
    if formats:
        sentence += " " + say("convert.formats").format(formats=", ".join(formats))
    return f"<p>{html.escape(sentence)}</p>"


def selected_options(context: Context, values: Mapping[str, Any]) -> ConvertOptions:
    """Options from the values of the tab's fields, by name.

    Raises:
        ConfigError: A value is wrong, or a path leads out of the project folder.
    """
    given = dict(values)
    key = AUTO_KEY if given.pop("auto_key", False) else values["trans"]
    options = read_options({**given, "spk_list": values["spk_list"] or (), "trans": key})
    if not options.onnx and not options.only_diffusion and not options.model_path:
        raise ConfigError("choose a model first: upload one, or put it into trained/ or logs/")
    if not options.diffuses:  # unused paths are not checked
        unused = ("diffusion_model_path", "diffusion_config_path")
        options = replace(options, **{name: default(name) for name in unused})
    return check_paths(context.root, options)
