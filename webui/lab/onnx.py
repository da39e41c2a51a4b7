"""ONNX export of voice models and speech encoders, by onnx_export.py."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import gradio as gr

from modules.common.errors import ConfigError
from modules.common.files import replacing
from webui.context import Context
from webui.flags import Flags
from webui.jobs.panel import Panel
from webui.language import in_language
from webui.menus import auto_refresh
from webui.paths import VOICE_MODELS, find_models, inside, plain_name
from webui.texts import TEXTS


def build(context: Context) -> None:
    """Lay out the part."""
    from export import exportable

    text, root = context.text, context.root
    with gr.Accordion(text("lab.onnx.import"), open=False):
        gr.Markdown(text("lab.onnx.import.info"))
        with gr.Row():
            model = gr.Dropdown([], label=text("lab.model"), scale=2, min_width=240)
            name = gr.Textbox(label=text("lab.tracks.name"), max_lines=1, min_width=160)
        copy = gr.Button(text("lab.onnx.copy"))
    with gr.Row(elem_classes="options"):
        exported = gr.Dropdown(
            exportable_models(root),
            label=text("onnx_export.name"),
            info=text("onnx_export.name.help"),
            min_width=240,
        )
        flags = Flags(context, "onnx_export", ["fuse", "auto_predict_f0", "check"])
    start = gr.Button(text("lab.onnx.start"), variant="primary")
    with gr.Accordion(text("lab.onnx.encoders"), open=False):
        encoders = gr.CheckboxGroup(
            list(exportable()), label=text("lab.onnx.encoders"), info=text("lab.onnx.encoders.info")
        )
        start_encoders = gr.Button(text("lab.onnx.start.encoders"))
    panel = Panel(context, "onnx")

    def import_model(request: gr.Request, model: str, name: str) -> Any:
        folder = copy_model(root, model, name)
        gr.Info(in_language(request)("lab.onnx.copied").format(path=folder.as_posix()))
        return gr.Dropdown(exportable_models(root), value=folder.name)

    def exporting(name: str, *values: Any) -> list[str]:
        return [f"--name={plain_name(name, 'the model')}", *flags.arguments(*values)]

    def exporting_encoders(names: list[str]) -> list[str]:
        if not names:
            raise ConfigError(TEXTS["lab.onnx.none"][0])
        return ["--encoder", *names]

    context.on(copy.click, import_model, [model, name], exported)
    auto_refresh(
        (exported, lambda: exportable_models(root)), (model, lambda: find_models(root, VOICE_MODELS))
    )
    panel.starts(start, "onnx_export.py", exporting, [exported, *flags.fields])
    panel.starts(start_encoders, "onnx_export.py", exporting_encoders, [encoders])


def exportable_models(root: Path) -> list[str]:
    """Names of the folders in checkpoints/ that hold a model."""
    return sorted(path.parent.name for path in (root / "checkpoints").glob("*/model.pth"))


def copy_model(root: Path, model: str | None, name: str | None) -> Path:
    """Copy a trained model and its configuration to checkpoints/<name>; return that, relative to ``root``.

    Raises:
        ConfigError: The model is not a .pth file or has no config.json; the name is invalid or taken.
    """
    source = root / inside(root, model, "a model")
    folder = Path("checkpoints") / plain_name(name, "the name of the model")
    config = source.with_name("config.json")
    if not config.is_file():
        raise ConfigError(f"there is no {config.relative_to(root)}, which the model needs")
    if (root / folder / "model.pth").exists():
        raise ConfigError(f"{folder} exists; choose another name")
    if source.suffix != ".pth":
        raise ConfigError(f"{model} is not a .pth file, which the export needs")
    for path, target in ((config, "config.json"), (source, "model.pth")):
        with replacing(root / folder / target) as temporary:
            shutil.copyfile(path, temporary)
    return folder
