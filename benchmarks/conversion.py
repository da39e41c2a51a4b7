"""Real-time factor of conversion, in total and by stage, with parts that need no download.

A second table compares the Glow model with the published computation of it
(benchmarks/training/plain.py), in turns and on the same weights.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.measure import alternate, table, temporary_folder
from benchmarks.training.plain import PlainGlow
from benchmarks.training.step import make_batch, make_model
from benchmarks.workspace import SIZES, synthetic_song, template, template_without_downloads, write_model
from inference.converter import Converter
from models import GlowSVC
from modules.common.device import autocast
from modules.dsp.audio import write_audio

SECONDS = 60.0
FRAMES = 862  # 10 s, of the Glow model alone
REPEATS = 5


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
    """Print the stages of one minute of song, and the Glow model against its plain form, for both sizes."""
    print_stages()
    print()
    print_glow()


def print_stages() -> None:
    """Print the stages of one minute of song, for both sizes of the model."""
    with temporary_folder() as folder:
        song = folder / "song.wav"
        write_audio(song, synthetic_song(SECONDS, 3), 44100)
        columns = []
        for size in SIZES:
            converter = Converter(write_model(folder, template_without_downloads(size)))
            converter.convert(song, folder / "out.flac", "voice")
            spent: dict[str, float] = defaultdict(float)
            watch(converter.f0_predictor, "predict", spent, f"F0 {converter.options.f0_predictor}")
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


@torch.inference_mode()
def print_glow() -> None:
    """Print the Glow model against its plain form, which is in float32 as published."""
    rows = []
    for size in SIZES:
        config = template(size)
        model = make_model(config.model).eval()
        batch = make_batch(config.model, 1, FRAMES)
        noise = 0.4 * torch.randn(batch["mel"].shape, generator=torch.Generator().manual_seed(0))
        tracks = [batch[name] for name in ("units", "f0", "uv", "speaker_id")]
        inputs: list[Any] = [*tracks, None, noise]
        works: dict[str, Callable[[], Tensor]] = {
            "plain, float32": partial(PlainGlow.copy(model).eval().infer, *inputs),
            "ours, float32": partial(convert, model, inputs, torch.float32),
            "ours, bfloat16": partial(convert, model, inputs, torch.bfloat16),
        }
        baseline = "plain, float32"
        mel = works[baseline]()
        spent = {name: min(times) for name, times in alternate(works, REPEATS).items()}
        length = FRAMES * config.data.hop_length / config.data.sampling_rate
        for name, work in works.items():
            off = float((work() - mel).abs().mean())
            cells = [f"{spent[name] / length:.4f}", f"{spent[baseline] / spent[name]:.2f}×", f"{off:.1e}"]
            rows.append([size, name, *cells])
    table(["Glow", "form", "real-time factor", "speed over plain float32", "mel L1"], rows)


def convert(model: GlowSVC, inputs: Sequence[Any], dtype: torch.dtype) -> Tensor:
    """Mel (B, M, N) by :meth:`models.GlowSVC.convert`, its matrix products in ``dtype``."""
    with autocast("cpu", dtype):
        return model.convert(*inputs)[0]
