"""A folder with a small data set, prepared by steps 1 to 3, for benchmarks that run the real scripts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from synthetic_voice import write_dataset

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def script(name: str, *arguments: str) -> list[str]:
    """Return the command line of one of the scripts."""
    return [sys.executable, str(ROOT / name), *arguments]


def run(folder: Path, command: Sequence[str]) -> str:
    """Run a command in ``folder`` and return what it said; exits with its words if it fails."""
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def prepare(
    folder: Path,
    seconds: float = 40.0,
    recordings: Path | None = None,
    encoder: str = "mfcc",
    model: Mapping[str, Any] | None = None,
    **train: Any,
) -> Path:
    """Fill ``folder`` with features of one voice; return the configuration.

    Args:
        folder: Where.
        seconds: Of singing, by a synthetic singer.
        recordings: A folder of audio to take instead.
        encoder: Of the units.
        model: What to change in the configuration's section "model".
        **train: What to change in its section "train".
    """
    if recordings is None:
        list(write_dataset(folder / "dataset_raw", ["sofia"], seconds))
    else:
        shutil.copytree(recordings, folder / "dataset_raw" / recordings.name)
    run(folder, script("resample.py"))
    run(
        folder,
        script("preprocess_flist_config.py", "--tiny", "--speech_encoder", encoder, "--vocoder", "world"),
    )
    config = folder / "configs" / "config.json"
    values = json.loads(config.read_text(encoding="utf-8"))
    values["train"] |= train
    values["model"] |= model or {}
    config.write_text(json.dumps(values), encoding="utf-8")
    run(folder, script("preprocess_hubert_f0.py", "--f0_predictor", "pm", "--device", "cpu"))
    return config
