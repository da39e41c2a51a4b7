"""Step 1 of the tab Convert: which voice, where it runs, and when its memory is given back."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from modules.common.errors import ConfigError
from webui.context import Context
from webui.convert.options import VOICE, default, field, read_options
from webui.jobs.queue import Job
from webui.jobs.status import as_html
from webui.language import in_language
from webui.places import DIFFUSIONS, TIMBRES, VOICES, find_models
from webui.session import Session, devices
from webui.texts.convert import TEXTS
from webui.toasts import toasts
from webui.uploads import LARGEST, check_size, within_reach

if TYPE_CHECKING:
    from inference.options import ConvertOptions
    from modules.config import Config

# what an uploaded file is, by its ending; a .pt may be a k-means file, too
KINDS = {
    ".pth": "model_path",
    ".safetensors": "model_path",
    ".json": "config_path",
    ".pt": "diffusion_model_path",
    ".yaml": "diffusion_config_path",
    ".yml": "diffusion_config_path",
    ".pkl": "cluster_model_path",
}
_BESIDE = {"config_path": ("config.json", "*.json"), "diffusion_config_path": ("config.yaml", "*.yaml")}


@dataclass(frozen=True)
class VoicePicker:
    """The fields that name a voice.

    Attributes:
        fields: By name of the option, those of ``VOICE``.
        upload: Where model files are uploaded.
        refresh: Looks for models again.
        load: Loads.
        unload: Gives the memory back.
        status: Says what is loaded.
    """

    fields: dict[str, Any]
    upload: gr.File
    refresh: gr.Button
    load: gr.Button
    unload: gr.Button
    status: gr.HTML


def build_picker(context: Context) -> VoicePicker:
    """Lay the fields out."""
    text, models = context.text, find_models(context.root, VOICES)
    with gr.Row():
        model = field(context, "model_path", models, value=models[0] if models else "", scale=3)
        config = field(
            context, "config_path", value=beside(models[0], "config_path") if models else "", scale=3
        )
        device = field(context, "device", [("auto", "")], value="", scale=2)
    with gr.Accordion(text("convert.upload_model"), open=False):
        gr.Markdown(text("convert.upload_model.help"))
        upload = gr.File(
            file_count="multiple", file_types=list(KINDS), show_label=False, height=120, elem_id="voice-files"
        )
        onnx = field(context, "onnx", ["", *onnx_voices(context.root)])
    with gr.Row():
        refresh = gr.Button(text("convert.refresh"), min_width=100)
        load = gr.Button(text("convert.load"), variant="primary", min_width=100)
        unload = gr.Button(text("convert.unload"), min_width=100)
    status = gr.HTML()
    fields = dict(zip(VOICE, (model, config, onnx, device), strict=True))
    return VoicePicker(fields, upload, refresh, load, unload, status)


def wire_picker(
    context: Context, session: Session, picker: VoicePicker, fields: Mapping[str, Any], page: gr.Blocks
) -> None:
    """Connect the picker with the other fields of the tab.

    Args:
        context: What every tab gets.
        session: Holds the voice.
        picker: Of :func:`build_picker`.
        fields: All fields by name of the option.
        page: Where they are.
    """
    named = (*dict.fromkeys(KINDS.values()), "feature_retrieval")
    paths = [fields[name] for name in named]
    names, everything = list(fields), list(fields.values())
    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}

    def look() -> tuple[Any, ...]:
        models, diffusions = find_models(context.root, VOICES), find_models(context.root, DIFFUSIONS)
        return (
            gr.Dropdown(choices=models),
            gr.Dropdown(choices=diffusions),
            gr.Dropdown(choices=["", *onnx_voices(context.root)]),
        )

    def open_page(model: str) -> tuple[Any, ...]:
        choices = look()
        models = find_models(context.root, VOICES)
        # one that is there stays: on a slow machine another may have been chosen meanwhile
        first = models[0] if not model and models else gr.skip()
        return (*choices, gr.Dropdown(choices=[("auto", ""), *devices()]), first)

    def take_in(files: Sequence[str] | None, *values: Any) -> list[Any]:
        return [
            gr.update(value=value) for value in sorted_out(files or (), dict(zip(named, values, strict=True)))
        ]

    def speakers(*values: Any) -> Any:
        given = dict(zip(names, values, strict=True))
        config = voice_config(picked_options(context, given))
        kept = [name for name in given["spk_list"] or () if name in config.spk]
        return gr.Dropdown(choices=list(config.spk), value=kept or list(config.spk)[:1])

    def quiet_speakers(*values: Any) -> Any:
        try:
            return speakers(*values)
        except ConfigError:  # half of a path, a configuration that comes later; loading tells
            return gr.skip()

    def load(request: gr.Request, *values: Any) -> Iterator[Any]:
        options = picked_options(context, dict(zip(names, values, strict=True)))
        yield from _watch(session.load(options), session, in_language(TEXTS, request))

    def unload(request: gr.Request) -> str:
        session.unload()
        return f"<p>{in_language(TEXTS, request)('convert.unloaded')}</p>"

    def state(request: gr.Request) -> str:
        return loaded_html(session, in_language(TEXTS, request))

    found = [fields["model_path"], fields["diffusion_model_path"], fields["onnx"]]
    picker.refresh.click(toasts(look, context.debug), None, found, **private)
    page.load(
        open_page, fields["model_path"], [*found, fields["device"], fields["model_path"]], **private
    ).then(quiet_speakers, everything, fields["spk_list"], **private)
    page.load(state, None, picker.status, **private)
    for name, other in (("model_path", "config_path"), ("diffusion_model_path", "diffusion_config_path")):
        fields[name].change(
            lambda model, known, other=other: beside(model, other) or known,
            [fields[name], fields[other]],
            fields[other],
            **private,
        )
    gr.on(
        [fields[name].change for name in ("config_path", "onnx", "only_diffusion", "diffusion_config_path")],
        quiet_speakers,
        everything,
        fields["spk_list"],
        **private,
    )
    picker.upload.upload(toasts(take_in, context.debug), [picker.upload, *paths], paths, **private)
    picker.load.click(
        toasts(load, context.debug),
        everything,
        [picker.status, fields["spk_list"]],
        concurrency_limit=None,
        **private,
    )
    picker.unload.click(toasts(unload, context.debug), None, picker.status, **private)


def beside(model: str | None, option: str) -> str:
    """Return the configuration that lies beside a model; empty if there is none, or several."""
    folder = Path(model).parent if model else None
    if folder is None or not folder.is_dir():
        return ""
    named, pattern = _BESIDE[option]
    if (folder / named).is_file():
        return (folder / named).as_posix()
    others = sorted(folder.glob(pattern))
    return others[0].as_posix() if len(others) == 1 else ""


def onnx_voices(root: Path) -> list[str]:
    """Return the folders of voices that onnx_export.py wrote."""
    return [
        folder.relative_to(root).as_posix()
        for folder in sorted((root / "checkpoints").glob("*/"))
        if folder.is_dir() and folder.with_name(f"{folder.name}.json").is_file()
    ]


def sorted_out(files: Sequence[str], known: Mapping[str, Any]) -> list[Any]:
    """Return the fields of a voice with the uploaded files in their places.

    Retrieval is chosen for an index, and not for a k-means file.

    Raises:
        ConfigError: One is empty, or of no known kind.
    """
    values = dict(known)
    for file in map(Path, files):
        kind = KINDS.get(file.suffix.lower())
        if kind is None:
            raise ConfigError(f"{file.name} is no model file; upload {', '.join(KINDS)} files")
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
    """Tell a k-means file from a diffusion model, by its content or, if that says nothing, by its name."""
    from modules.checkpoint import appearance

    seems = appearance(file)
    return "a k-means file" in seems if seems else any(fnmatch(file.name, pattern) for pattern in TIMBRES)


def voice_config(options: ConvertOptions) -> Config:
    """Return the settings of the voice that the options name, without loading it; raises ConfigError."""
    if options.onnx:
        from modules.onnx.manifest import read_sidecar

        return read_sidecar(options.onnx).config
    from inference.voice_config import load_voice

    return load_voice(options)[0]


def _watch(job: Job, session: Session, say: Callable[[str], str]) -> Iterator[tuple[Any, ...]]:
    """Yield the progress of loading, and at the end what is loaded, with its speakers; stops when closed."""
    try:
        while not job.finished.wait(0.3):
            yield as_html(job, session, say), gr.skip()
        config = job.result()
    except Exception:  # no bar stays, and the voice of before is gone
        yield loaded_html(session, say), gr.skip()
        raise
    finally:
        job.cancel()
    yield loaded_html(session, say), gr.Dropdown(choices=list(config.spk))


def loaded_html(session: Session, say: Any) -> str:
    """Return a sentence on what is loaded."""
    config, options = session.config, session.options
    if config is None or options is None:
        return f"<p>{say('convert.no_voice')}</p>"
    name = Path(
        options.onnx or (options.diffusion_model_path if options.only_diffusion else options.model_path)
    )
    sentence = say("convert.loaded").format(
        model=name.name,
        device=session.device,
        speakers=", ".join(config.spk) or config.model.n_speakers,
        encoder=config.model.speech_encoder,
        vocoder=config.model.vocoder_name,
        rate=config.data.sampling_rate,
    )
    return f"<p>{html.escape(sentence)}</p>"


def picked_options(context: Context, values: Mapping[str, Any]) -> ConvertOptions:
    """Return the options that the fields of the tab hold, by name.

    Raises:
        ConfigError: A value is wrong, or a path leads out of the project folder.
    """
    given = {name: value for name, value in values.items() if name not in ("trans", "spk_list")}
    options = read_options({**given, "spk_list": values["spk_list"] or (), "trans": values["trans"]})
    if not options.onnx and not options.only_diffusion and not options.model_path:
        raise ConfigError("choose a model first: upload one, or put it into trained/ or logs/")
    if not options.diffuses:  # what is not looked at may be wrong
        unused = ("diffusion_model_path", "diffusion_config_path")
        options = replace(options, **{name: default(name) for name in unused})
    return within_reach(context.root, options)
