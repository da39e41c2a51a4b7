"""Level and brightness where blocks join, on a held tone and on a line of notes.

The step of the level at a join is measured beyond that of the whole file's conversion at the
same place; what it is in the middle of blocks tells what of it is the join's.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.signal import butter, sosfilt

from benchmarks.measure import table, temporary_folder
from benchmarks.realtime.streaming import stream
from inference.converter import Converter
from inference.options import ConvertOptions
from inference.realtime.engine import RealtimeEngine
from inference.realtime.settings import RealtimeSettings
from modules.dsp.audio import read_audio, write_audio

_SECONDS, _WIDTH = 6.0, 0.02  # s
SETTINGS: tuple[dict[str, float], ...] = ({}, {"look_ahead": 23}, {"look_ahead": 0}, {"look_ahead": 70})
_SETTLED = 2.0  # s, until the averages of the encoder know the voice


def measure(options: ConvertOptions) -> None:
    """Print the table."""
    converter = Converter(replace(options, noise_scale=0.0))  # whose own variation hides joins
    rate, speaker = converter.sampling_rate, next(iter(converter.config.spk))
    time = np.arange(round(_SECONDS * rate)) / rate
    notes = np.interp(time % 4, [0, 1, 1.15, 2, 2.15, 3, 3.15, 4], [0, 0, 4, 4, 7, 7, 0, 0])
    rows = []
    for name, pitch in (("held tone", 200 + 0 * time), ("legato", 200 * 2 ** (notes / 12))):
        phase = 2 * np.pi * np.cumsum(pitch) / rate
        audio = np.sum([0.1 * np.sin(k * phase) / k for k in range(1, 20)], 0).astype(np.float32)
        with temporary_folder() as folder:
            write_audio(folder / "song.wav", audio, rate)
            path = converter.convert(folder / "song.wav", folder / "result.wav", speaker).path
            whole, _ = read_audio(path, rate)
        for changes in SETTINGS:
            engine = RealtimeEngine(converter, RealtimeSettings(**changes), speaker)
            made = stream(engine, audio).audio
            ends = np.arange(round(_SETTLED * rate), len(made) - rate // 2, engine.block)
            borders = ends - (ends[0] + engine.delay) % engine.block
            cells = []
            for places in (borders, borders + engine.block // 2):
                extra = np.abs(_steps(made, places, rate) - _steps(whole, places, rate))
                cells += [f"{np.median(extra):.2f} dB", f"{np.percentile(extra, 95):.2f} dB"]
            ratio = _brightness(made, borders, rate) / _brightness(made, borders + engine.block // 2, rate)
            setting = f"look_ahead {engine.settings.look_ahead:g}"
            rows.append([name, setting, *cells, f"{10 * np.log10(ratio):+.1f} dB"])
    header = ["sound", "setting", "step at joins", "p95", "between joins", "p95"]
    table([*header, "power above 14 kHz, at joins over between"], rows)


def _steps(audio: np.ndarray, places: np.ndarray, rate: int) -> np.ndarray:
    """Change of the level, dB, at each place."""
    width = round(_WIDTH * rate)
    power = np.pad(np.cumsum(np.square(audio, dtype=np.float64)), (1, 0))
    before, after = power[places] - power[places - width], power[places + width] - power[places]
    change: np.ndarray = 10 * np.log10((after + 1e-12) / (before + 1e-12))
    return change


def _brightness(audio: np.ndarray, places: np.ndarray, rate: int) -> float:
    """Mean power above 14 kHz within 3 ms of the places."""
    high = np.square(sosfilt(butter(8, 14000, "high", fs=rate, output="sos"), audio))
    return float(np.mean([high[place - 128 : place + 128].mean() for place in places])) + 1e-20
