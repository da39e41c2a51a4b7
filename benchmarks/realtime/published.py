"""The chain of published sizes, live: ContentVec, the Glow model and NSF-HiFiGAN, with random weights.

Its load here, and the processor that it wants: its operations per second at a load of 70 %,
at a fifth of a processor's peak, which small tensors rarely exceed.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.machine import count_operations
from benchmarks.measure import table, temporary_folder
from benchmarks.realtime.streaming import stream
from benchmarks.vocoding import PUBLISHED
from benchmarks.workspace import synthetic_song, template, write_model
from inference.converter import Converter
from inference.options import ConvertOptions
from inference.realtime.engine import RealtimeEngine
from inference.realtime.meters import COMFORTABLE
from inference.realtime.settings import RealtimeSettings
from modules.common.files import write_json
from modules.f0_predictor import LIVE_PREDICTOR
from modules.pretrained.weights import WEIGHTS, folder
from tests.inference.tiny import write_vocoder
from tests.support.published import write_full_encoder

_UTILIZATION = 0.2  # share of a processor's peak
_SECONDS = 1.0
SETTINGS: tuple[dict[str, float], ...] = (
    {"unit_context": 1000, "context": 500},
    {},
    {"block": 140, "look_ahead": 70, "unit_context": 1000, "context": 500},
)


def measure() -> None:
    """Print the table."""
    with temporary_folder() as place:
        before = os.environ.get("GLOW_SVC_PRETRAIN")
        os.environ["GLOW_SVC_PRETRAIN"] = str(place)
        try:
            _measure(Converter(_write(place)))
        finally:
            os.environ.pop("GLOW_SVC_PRETRAIN")
            if before is not None:
                os.environ["GLOW_SVC_PRETRAIN"] = before


def _measure(converter: Converter) -> None:
    torch.set_num_threads(os.cpu_count() or 1)
    rows = []
    for changes in SETTINGS:
        engine = RealtimeEngine(converter, RealtimeSettings(**changes), 0)
        audio = synthetic_song(_SECONDS, 3)
        made = stream(engine, audio)
        assert np.isfinite(made.audio).all()
        block = (
            np.random.default_rng(0).normal(0, 0.1, engine.block).astype(np.float32)
        )  # silence costs nothing
        operations = count_operations(lambda engine=engine, block=block: engine.process(block))  # type: ignore[misc]
        wanted = operations / (engine.block / engine.sampling_rate * COMFORTABLE * _UTILIZATION)
        name = ", ".join(f"{setting} {value:g}" for setting, value in changes.items()) or "default"
        load = f"{100 * made.load(engine):.0f} %"
        rows.append(
            [name, f"{1000 * engine.latency:.0f} ms", load, f"{operations / 1e9:.0f}", f"{wanted / 1e12:.1f}"]
        )
    header = ["setting", "latency", "load here (p95)", "GFLOP a block"]
    table([*header, "TFLOP/s that a processor must have for 70 %"], rows)


def _write(place: Path) -> ConvertOptions:
    """Write the models of random weights; options that name the voice model."""
    (place / "encoder").mkdir()
    made = write_full_encoder("vec768l12", place / "encoder")
    target = folder() / WEIGHTS["contentvec"].file
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(made, target)
    write_vocoder(place, **{**asdict(PUBLISHED), "resblock": "1"})
    config = replace(template("published size"), spk={"voice": 0})
    options = replace(write_model(place, config), f0_predictor=LIVE_PREDICTOR)
    write_json(place / "config.json", asdict(config))
    return options
