"""Real-time factor of conversion, in total and by stage, with parts that need no download."""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.measure import table
from benchmarks.workspace import synthetic_song, template_without_downloads, write_model
from inference.converter import Converter
from modules.dsp.audio import write_audio

SECONDS = 60.0


@contextmanager
def timed(parts: dict[str, tuple[Any, str]]) -> Iterator[dict[str, float]]:
    """Seconds spent in each method: label -> (object, name of its method)."""
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
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        song = folder / "song.wav"
        write_audio(song, synthetic_song(SECONDS, 3), 44100)
        columns = []
        for file in ("config_tiny_template.json", "config_template.json"):
            converter = Converter(write_model(folder, template_without_downloads(file)))
            converter.convert(song, folder / "out.flac", "voice")
            parts = {
                "F0 pm": (converter.f0_predictor, "predict"),
                "units mfcc": (converter.encoder, "encode"),
                "Glow": (converter.model, "infer"),
                "vocoder world": (converter.vocoder, "synthesize"),
            }
            with timed(parts) as spent:
                result = converter.convert(song, folder / "out.flac", "voice")
            factors = {label: value / result.seconds for label, value in spent.items()}
            total = result.real_time_factor
            factors["reading, slicing, writing"] = total - sum(factors.values())
            factors["whole chain"] = total
            columns.append(factors)
    table(
        ["stage", "tiny model", "published size"],
        [[label, *(f"{column[label]:.4f}" for column in columns)] for label in columns[0]],
    )
