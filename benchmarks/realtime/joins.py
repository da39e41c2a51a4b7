"""Level and brightness where blocks join, on a held tone and on a line of notes.

The same sound is streamed several times, each a frame later, so that the blocks of each join
elsewhere. The step of the level at a join is measured beyond that of the streams without a
join there; how much those differ among themselves tells what of it is not the join's: the
models hear less or more of what comes next.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.signal import butter, sosfilt

from benchmarks.measure import table
from benchmarks.realtime.streaming import stream
from inference.converter import Converter
from inference.options import ConvertOptions
from inference.realtime.engine import RealtimeEngine
from inference.realtime.settings import RealtimeSettings

_SECONDS, _WIDTH = 6.0, 0.02  # s
SETTINGS: tuple[dict[str, float], ...] = (
    {},
    {"crossfade": 12},
    {"crossfade": 46},
    {"look_ahead": 0},
    {"look_ahead": 35},
    {"look_ahead": 70},
    {"block": 35, "look_ahead": 35},
)
_SETTLED = 2.0  # s, until the averages of the encoder know the voice


def measure(options: ConvertOptions) -> None:
    """Print the table."""
    converter = Converter(replace(options, noise_scale=0.0))  # whose own variation hides joins
    rate = converter.sampling_rate
    time = np.arange(round(_SECONDS * rate)) / rate
    notes = np.interp(time % 4, [0, 1, 1.15, 2, 2.15, 3, 3.15, 4], [0, 0, 4, 4, 7, 7, 0, 0])
    rows = []
    for name, pitch in (("held tone", 200 + 0 * time), ("legato", 200 * 2 ** (notes / 12))):
        phase = 2 * np.pi * np.cumsum(pitch) / rate
        audio = np.sum([0.1 * np.sin(k * phase) / k for k in range(1, 20)], 0).astype(np.float32)
        for changes in SETTINGS:
            setting = ", ".join(f"{key} {value:g}" for key, value in changes.items()) or "default"
            rows.append([name, setting, *_cells(converter, changes, audio)])
    header = ["sound", "setting", "step at joins", "p95", "without a join", "p95"]
    table([*header, "power above 14 kHz, at joins over elsewhere"], rows)


def _cells(converter: Converter, changes: dict[str, float], audio: np.ndarray) -> list[str]:
    rate, hop = converter.sampling_rate, converter.config.data.hop_length
    engine = RealtimeEngine(converter, RealtimeSettings(**changes), next(iter(converter.config.spk)))
    n, made = engine.block_frames, []
    for later in range(n):
        shifted = np.pad(audio, (later * hop, engine.block))
        made.append(stream(engine, shifted).audio[later * hop :][: len(audio)])
    first, last = round(_SETTLED * rate), len(audio) - rate // 2
    joins, others, bright = [], [], []
    for own in range(n):
        # what comes out is without the delay, which the borders of blocks are in
        places = np.arange(first, last)
        places = places[(places + engine.delay + own * hop) % engine.block == 0]
        steps = np.array([_steps(one, places, rate) for one in made])
        rest = np.delete(steps, own, 0)
        joins.append(np.abs(steps[own] - rest.mean(0)))
        others.append(np.abs(rest[0] - rest[-1]))
        bright.append((_brightness(made[own], places, rate), _brightness(made[own - 1], places, rate)))
    cells = []
    for found in (np.concatenate(joins), np.concatenate(others)):
        cells += [f"{np.median(found):.2f} dB", f"{np.percentile(found, 95):.2f} dB"]
    here, elsewhere = np.mean(bright, 0)
    return [*cells, f"{10 * np.log10(here / elsewhere):+.1f} dB"]


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
