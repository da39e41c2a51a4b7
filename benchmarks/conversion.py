"""Real-time factor of conversion, in total and by stage, with parts that need no download."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

from benchmarks.measure import table, temporary_folder
from benchmarks.workspace import SIZES, synthetic_song, template_without_downloads, write_model
from inference.converter import Converter
from modules.dsp.audio import write_audio

SECONDS = 60.0


def watch(owner: Any, name: str, spent: dict[str, float], label: str) -> None:
    """Add the seconds that a method takes to ``spent[label]`` from now on."""
    method = getattr(owner, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        result = method(*args, **kwargs)
        spent[label] += time.perf_counter() - began
        return result

    setattr(owner, name, call)


def main() -> None:
    """Print the stages of one minute of song, for both sizes of the model."""
    with temporary_folder() as folder:
        song = folder / "song.wav"
        write_audio(song, synthetic_song(SECONDS, 3), 44100)
        columns = []
        for size in SIZES:
            converter = Converter(write_model(folder, template_without_downloads(size)))
            converter.convert(song, folder / "out.flac", "voice")
            spent: dict[str, float] = defaultdict(float)
            watch(converter.f0_predictor, "predict", spent, "F0 pm")
            watch(converter.encoder, "encode", spent, "units mfcc")
            watch(converter.model, "infer", spent, "Glow")
            watch(converter.vocoder, "synthesize", spent, "vocoder world")
            result = converter.convert(song, folder / "out.flac", "voice")
            factors = {label: value / result.seconds for label, value in spent.items()}
            factors["reading, slicing, writing"] = result.real_time_factor - sum(factors.values())
            columns.append({**factors, "whole chain": result.real_time_factor})
    table(
        ["stage", "tiny model", "published size"],
        [[label, *(f"{column[label]:.4f}" for column in columns)] for label in columns[0]],
    )
