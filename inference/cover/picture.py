"""Picture of a cover: how loud its parts are over time, and the melody before and after."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from inference.cover import mix
from inference.cover.phrases import PowerMeter
from modules.common.files import replacing
from modules.dsp.blocks import BLOCK, Samples
from separation.base import RATE

_COLOURS = {
    mix.INSTRUMENTAL: "tab:gray",
    mix.BACKING: "tab:green",
    mix.LEAD: "tab:blue",
    mix.ACAPPELLA: "tab:orange",
}
_NAMES = {
    mix.INSTRUMENTAL: "instrumental",
    mix.BACKING: "backing",
    mix.LEAD: "lead, original",
    mix.ACAPPELLA: "lead, converted",
}
_POINTS = 1500


def write_picture(path: Path, parts: Mapping[str, Samples], f0: np.ndarray, key: float, hop: int) -> None:
    """Write the picture of parts (T, 2) by name, and of the song's F0 (N,), Hz, moved by ``key``."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    figure = Figure(figsize=(12, 6.5), layout="constrained")
    levels, melody = figure.subplots(2, sharex=True)
    for name, colour in _COLOURS.items():
        power = _power(parts[name])
        times = np.linspace(0, len(parts[name]) / RATE, len(power))
        levels.plot(times, 10 * np.log10(power + 1e-8), color=colour, label=_NAMES[name], linewidth=1)
    levels.set(ylabel="loudness, dB", ylim=(-80, 0))
    levels.legend(loc="upper right", ncols=4)
    times = np.arange(len(f0)) * hop / RATE
    shown = np.where(f0 > 0, f0, np.nan)
    melody.plot(times, shown, color=_COLOURS[mix.LEAD], label=_NAMES[mix.LEAD], linewidth=1)
    moved = shown * 2 ** (key / 12)
    melody.plot(times, moved, color=_COLOURS[mix.ACAPPELLA], label=_NAMES[mix.ACAPPELLA], linewidth=1)
    melody.set_yscale("log", base=2)
    melody.yaxis.set_major_locator(LogLocator(2, subs=(1, 1.25, 1.5, 1.75)))
    melody.yaxis.set_major_formatter("{x:.0f}")
    melody.set(ylabel="F0, Hz", xlabel="seconds")
    melody.legend(loc="upper right", ncols=2)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=90)
    with replacing(path) as temporary:
        temporary.write_bytes(content.getvalue())


def _power(part: Samples) -> np.ndarray:
    meter = PowerMeter()
    for start in range(0, len(part), BLOCK):
        meter.feed(part[start : start + BLOCK])
    powers = meter.powers()
    size = -(-len(powers) // _POINTS)
    return np.pad(powers, (0, -len(powers) % size), mode="edge").reshape(-1, size).mean(1)
