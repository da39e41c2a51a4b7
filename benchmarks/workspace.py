"""What benchmarks measure on: synthetic songs, models of random weights, and a small prepared data set."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modules.common.children import child_environment
from modules.common.files import write_json
from modules.f0_predictor import DEFAULT_PREDICTOR
from synthetic_voice import compose, sing, write_dataset

if TYPE_CHECKING:
    from inference.options import ConvertOptions
    from modules.config import Config

ROOT = Path(__file__).resolve().parents[1]
TEMPLATES = ROOT / "configs_template"
SIZES = {"tiny": "config_tiny_template.json", "published size": "config_template.json"}


def environment() -> dict[str, str]:
    """Environment in which scripts find the project from any folder, and end with the benchmark."""
    return {**child_environment(), "PYTHONPATH": str(ROOT)}


def synthetic_song(
    seconds: float, seed: int, singer: str = "bruno", sampling_rate: int = 44100
) -> np.ndarray:
    """Song (T,) by the synthetic singer."""
    return sing(compose(singer, seconds, seed), singer, seed, sampling_rate).audio


def growing_song(folder: Path, minutes: Sequence[int]) -> Iterator[tuple[int, Path]]:
    """Yield each length, and the file in ``folder`` that holds a song of it until the next one."""
    import soundfile

    song, minute = folder / "song.wav", synthetic_song(60.0, 5)
    for length in minutes:
        with soundfile.SoundFile(song, "w", 44100, 1, "PCM_16") as file:
            for _ in range(length):
                file.write(minute)
        yield length, song


def template(size: str) -> Config:
    """Configuration template of step 2, for one speaker of 12-channel units if tiny, else 768."""
    from modules.config import parse_config

    values = json.loads((TEMPLATES / SIZES[size]).read_text(encoding="utf-8"))
    values["model"] |= {"n_speakers": 1, "ssl_dim": 12 if size == "tiny" else 768}
    return parse_config(values)


def template_without_downloads(size: str) -> Config:
    """Configuration template with an encoder and a vocoder that need no weights."""
    config = template(size)
    model = replace(config.model, ssl_dim=12, speech_encoder="mfcc", vocoder_name="world")
    return replace(config, model=model, spk={"voice": 0})


def write_model(folder: Path, config: Config) -> ConvertOptions:
    """Write a model of random weights; speed and memory do not depend on them. Options to convert with it."""
    from inference.options import ConvertOptions
    from models import GlowSVC
    from modules.checkpoint import write_checkpoint

    model_path, config_path = folder / "G_1.pth", folder / "config.json"
    write_checkpoint(model_path, {"model": GlowSVC(config.model).state_dict()})
    write_json(config_path, asdict(config))
    return ConvertOptions(model_path=str(model_path), config_path=str(config_path), device="cpu")


def script(name: str, *arguments: str) -> list[str]:
    """Command line of one of the scripts."""
    return [sys.executable, str(ROOT / name), *arguments]


def run(folder: Path, name: str, *arguments: str) -> str:
    """Run one of the scripts in ``folder``; return its output, or exit with it if the script fails."""
    command = script(name, *arguments)
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def final_weights(folder: Path, name: str, step: int) -> dict[str, Any]:
    """Weights of the run ``name`` in a workspace, at a step."""
    from modules.checkpoint import read_checkpoint

    return read_checkpoint(folder / "logs" / name / f"G_{step}.pth")["model"]


def prepare(
    folder: Path,
    recordings: Path | None = None,
    encoder: str = "mfcc",
    model: Mapping[str, Any] | None = None,
    f0_predictor: str = DEFAULT_PREDICTOR,
    **train: Any,
) -> Path:
    """Fill ``folder`` with features of one voice by steps 1 to 3; return the path of the configuration.

    Without ``recordings``, a folder of audio, the voice is 40 s by a synthetic singer.
    ``model`` and ``train`` are changes of these sections of the configuration.
    """
    if recordings is None:
        list(write_dataset(folder / "dataset_raw", ["sofia"], 40.0))
    else:
        shutil.copytree(recordings, folder / "dataset_raw" / recordings.name)
    run(folder, "resample.py")
    run(folder, "preprocess_flist_config.py", "--tiny", "--speech_encoder", encoder, "--vocoder", "world")
    config = folder / "configs" / "config.json"
    values = json.loads(config.read_text(encoding="utf-8"))
    values["train"] |= train
    values["model"] |= model or {}
    write_json(config, values)
    run(folder, "preprocess_hubert_f0.py", "--f0_predictor", f0_predictor, "--device", "cpu")
    return config
