"""The real-time factor of conversion, whole and by stage, for the chain that needs no download."""

from __future__ import annotations

import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.measure import table
from benchmarks.training.step import template
from inference.converter import Converter
from inference.options import ConvertOptions
from models import GlowSVC
from modules.checkpoint import write_checkpoint
from modules.config import Config
from modules.dsp.audio import write_audio
from synthetic_voice import SINGERS, compose, sing

SECONDS = 60.0


def converter(folder: Path, config: Config) -> Converter:
    """Return a converter with a model of random weights; speed does not depend on them."""
    path = folder / "G_1.pth"
    write_checkpoint(path, {"model": GlowSVC(config.model).state_dict()})
    (folder / "config.json").write_text(json.dumps(asdict(config)), encoding="utf-8")
    return Converter(
        ConvertOptions(model_path=str(path), config_path=str(folder / "config.json"), device="cpu")
    )


def no_download(name: str) -> Config:
    """Return a template's configuration with the parts that need no weights."""
    from dataclasses import replace

    config = template(name)
    model = replace(config.model, ssl_dim=12, speech_encoder="mfcc", vocoder_name="world")
    return replace(config, model=model, spk={"voice": 0})


@contextmanager
def timed(parts: dict[str, tuple[Any, str]]) -> Iterator[dict[str, float]]:
    """Add up the seconds that each method takes: label -> (object, name of its method)."""
    spent: dict[str, float] = defaultdict(float)

    def watch(label: str, method: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                spent[label] += time.perf_counter() - began

        return call

    for label, (owner, name) in parts.items():
        setattr(owner, name, watch(label, getattr(owner, name)))
    yield spent


def main() -> None:
    """Print the stages of one minute of song, for both sizes of the model."""
    singer = next(iter(SINGERS.values()))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        song = folder / "song.wav"
        write_audio(song, sing(compose(singer, SECONDS, 3), singer, seed=3).audio, 44100)
        columns = []
        for file in ("config_tiny_template.json", "config_template.json"):
            made = converter(folder, no_download(file))
            made.convert(song, folder / "out.flac", "voice")
            parts = {
                "F0 pm": (made.f0_predictor, "predict"),
                "units mfcc": (made.encoder, "encode"),
                "Glow": (made.model, "infer"),
                "vocoder world": (made.vocoder, "synthesize"),
            }
            with timed(parts) as spent:
                result = made.convert(song, folder / "out.flac", "voice")
            factors = {label: value / result.seconds for label, value in spent.items()}
            whole = result.real_time_factor
            factors["reading, slicing, writing"] = whole - sum(factors.values())
            factors["whole chain"] = whole
            columns.append(factors)
    table(
        ["stage", "tiny model", "published size"],
        [[label, *(f"{column[label]:.4f}" for column in columns)] for label in columns[0]],
    )
