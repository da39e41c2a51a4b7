"""Each setting against the conversion of the whole file: latency, load, pitch, mel, voice and words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.measure import table, temporary_folder
from benchmarks.realtime.streaming import stream
from evaluation.conversions import Conversion, SourceSong
from evaluation.evaluators import EVALUATORS
from evaluation.evaluators.base import EvalInputs, Unavailable
from inference.converter import Converter
from inference.options import ConvertOptions
from inference.realtime.engine import RealtimeEngine
from inference.realtime.settings import RealtimeSettings
from modules.dsp.audio import find_audio, read_audio
from modules.dsp.f0 import raw_pitch_accuracy, transpose
from modules.dsp.mcd import mel_cepstral_distortion
from modules.dsp.mel import LogMel

SETTINGS: tuple[dict[str, float], ...] = (
    {},
    {"look_ahead": 0},
    {"look_ahead": 35},
    {"look_ahead": 70},
    {"block": 23},
    {"block": 35},
    {"block": 35, "look_ahead": 35},
    {"block": 70},
    {"block": 140, "look_ahead": 140},
    {"context": 300},
    {"context": 3000},
    {"unit_context": 1000},
    {"unit_context": 10_000},
)


def measure(options: ConvertOptions, song: Path, key: float, target: Path | None, text: str) -> None:
    """Print the table."""
    converter = Converter(options)
    rate, speaker = converter.sampling_rate, next(iter(converter.config.spk))
    audio, _ = read_audio(song, rate)
    with temporary_folder() as folder:
        converted = converter.convert(song, folder / "offline.wav", speaker, key)
        offline, _ = read_audio(converted.path, rate)
    source = SourceSong(song.stem, audio, rate, converted.f0, converted.uv, key, text=text)
    evaluators = _evaluators(EvalInputs([] if target is None else find_audio(target)))
    mel, wanted = LogMel(converter.config.data), transpose(converted.f0, key)

    def row(name: str, made: np.ndarray, latency: str, load: str) -> list[str]:
        f0, uv = converter.f0_predictor.predict(made)
        distance = mel_cepstral_distortion(*(mel(torch.from_numpy(x)[None])[0] for x in (offline, made)))
        scores = [_score(evaluator, Conversion(source, made)) for evaluator in evaluators]
        accuracy = raw_pitch_accuracy(wanted, f0 * uv)
        return [name, latency, load, f"{100 * accuracy:.1f} %", f"{distance:.2f} dB", *scores]

    rows = [row("the whole file", offline, "–", "–")]
    for changes in SETTINGS:
        engine = RealtimeEngine(converter, RealtimeSettings(**changes), speaker, key)
        made = stream(engine, audio)
        name = ", ".join(f"{setting} {value:g}" for setting, value in changes.items()) or "default"
        rows.append(
            row(name, made.audio, f"{1000 * engine.latency:.0f} ms", f"{100 * made.load(engine):.0f} %")
        )
    header = ["setting", "latency", "load (p95)", "pitch within 50 cents", "MCD to the whole file"]
    table([*header, "similarity", "word errors"], rows)


def _evaluators(inputs: EvalInputs) -> list[Any]:
    """Those of similarity and of words, or None where one cannot run."""
    found: list[Any] = []
    for name in ("target", "words"):
        try:
            found.append(EVALUATORS.build(name, inputs))
        except Unavailable:
            found.append(None)
    return found


def _score(evaluator: Any, conversion: Conversion) -> str:
    if evaluator is None:
        return "–"
    return f"{next(iter(evaluator.evaluate(conversion).values())).value:.3f}"
