"""Exported tiny voice models, written once for all tests of a run, since tracing is slow."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import filelock
import pytest

import onnx_export
from modules.checkpoint import read_checkpoint, write_checkpoint
from tests.inference import tiny
from tests.inference.tiny import write_diffusion, write_model, write_vocoder


@dataclass(frozen=True)
class ExportedVoice:
    """A voice model that the script has exported."""

    folder: Path  # of the model and its graphs
    pretrain: Path  # of its vocoder
    printed: str  # output of the script


def put_voice(folder: Path, **model: object) -> Path:
    """Write model.pth and config.json into ``folder``, as onnx_export.py wants them; return the folder."""
    path, _ = write_model(folder, **model)
    path.rename(folder / "model.pth")
    return folder


def put_diffusion(folder: Path, **model: object) -> None:
    """Write diffusion.pt and diffusion.yaml into ``folder``."""
    path, config = write_diffusion(folder, **model)
    path.rename(folder / "diffusion.pt")
    config.rename(folder / "diffusion.yaml")


def rich(root: Path) -> list[str]:
    """Two speakers, volume, a neural vocoder, F0 prediction and diffusion; stored in half precision."""
    write_vocoder(root / "pretrain")
    folder = put_voice(root / "checkpoints" / "rich", vocoder_name="nsf-hifigan", vol_embedding=True)
    state = read_checkpoint(folder / "model.pth")["model"]
    write_checkpoint(folder / "model.pth", {"model": {name: value.half() for name, value in state.items()}})
    put_diffusion(folder)
    return ["-n", "rich", "-a", "--check"]


def fused(root: Path) -> list[str]:
    """One speaker, one graph, in a folder with an unusual name."""
    write_vocoder(root / "pretrain")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny, "SPEAKERS", {"anna": 0})
        put_voice(
            root / "checkpoints" / "花 v1.2",
            vocoder_name="nsf-hifigan",
            n_speakers=1,
            use_automatic_f0_prediction=False,
        )
    return ["-n", "花 v1.2", "--fuse"]


def export_once(factory: pytest.TempPathFactory, prepare: Callable[[Path], list[str]]) -> ExportedVoice:
    """Export a voice model with the script; the processes of a parallel run share it."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    root = shared / f"onnx_{prepare.__name__}"
    with filelock.FileLock(f"{root}.lock"):
        if not (root / "printed").exists():
            arguments, said = prepare(root), io.StringIO()
            with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
                patch.chdir(root)
                patch.setenv("GLOW_SVC_PRETRAIN", str(root / "pretrain"))
                assert onnx_export.main(arguments) == 0
            (root / "printed").write_text(said.getvalue(), encoding="utf-8")
    [folder] = (path for path in (root / "checkpoints").iterdir() if path.is_dir())
    return ExportedVoice(folder, root / "pretrain", (root / "printed").read_text(encoding="utf-8"))
