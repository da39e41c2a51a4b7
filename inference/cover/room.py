"""The new voice where the old one stood: its level, its place in the stereo picture, and its room.

The room is estimated from how the original voice dies away where it stops. What sounds directly is gone
at once; what comes back from the walls decays along a line in dB. The slope of that line gives the
reverberation time, and its height at the stop the share of the room in the sound before it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference.cover.song import StereoFile, write_stereo
from inference.cover.stems import Report
from modules.dsp.blocks import BLOCK, blocks
from modules.dsp.loudness import integrated_loudness
from separation.base import RATE

PLACED = "placed.wav"
HOP = 441  # samples, 10 ms
_PER_SECOND = RATE // HOP
_WINDOW = 3  # frames of a smoothed level
_LINE = (4, 40)  # frames after a stop that the line is fitted to, at most
_LEAST = 8  # frames of a line at least
_FIT = 2.5  # dB, how far the levels may be from the line, root mean square
_STEADY = 10  # frames before a stop, in which the level hardly changes
_STOP = 7.0  # dB that the level falls by in 40 ms where a voice stops
_APART = 20  # frames between two stops
_LOUD = 20.0  # dB above the softest that counts, before a stop
_RANGE = 50.0  # dB below the loud parts, below which nothing is measured
_ABRUPT = 25  # percentile of the heights: of those stops where the voice itself is gone soonest
# of a level in dB: a voice's own end makes soft rooms seem louder; fitted by hand to what
# benchmarks.covers.rooms prints
_SCALE, _OFFSET = 2.2, 6.5
_FEW = 4  # stops; fewer tell nothing
REVERB_TIMES = (0.15, 4.0)  # s that a room may have
_DRY = -35.0  # dB; a room that is softer is none
# of pedalboard's Reverb: room_size and the reverberation time, s, that it gives
_SIZES, _TIMES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0), (0.53, 0.70, 1.04, 1.93, 4.0, 8.2)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Room:
    """Reverberation of a recording."""

    seconds: float  # in which it decays by 60 dB
    level: float  # dB, of the reverberation relative to the direct sound


def estimate_room(powers: np.ndarray) -> Room | None:
    """Room of a voice, of its powers (F,) every 10 ms; None if it is dry, or stops too rarely to tell."""
    smooth = np.convolve(powers, np.ones(_WINDOW) / _WINDOW, "same") if len(powers) else powers
    levels = 10 * np.log10(np.maximum(smooth, 1e-14))
    if not len(levels):
        return None
    floor = np.percentile(levels[levels > -130], 95) - _RANGE if (levels > -130).any() else 0.0
    lines = [line for stop in _stops(levels, floor) if (line := _line(levels, stop, floor))]
    if len(lines) < _FEW:
        return None
    slopes, shares = zip(*lines, strict=True)
    slope, share = float(np.median(slopes)), min(float(np.percentile(shares, _ABRUPT)), -0.5)
    direct = 10 * math.log10(1 - 10 ** (share / 10))
    level = min(_SCALE * (share - direct) + _OFFSET, 0.0)
    room = Room(float(np.clip(60 / slope, *REVERB_TIMES)), level)
    return room if room.level > _DRY else None


def _stops(levels: np.ndarray, floor: float) -> list[int]:
    """Frames at which a voice stops: the level has been steady for 0.1 s, and falls."""
    if len(levels) < 2 * _STEADY + _LINE[0] + _LEAST:
        return []
    before = np.lib.stride_tricks.sliding_window_view(levels, _STEADY)[: -_LINE[0] - _LEAST]
    after = levels[_STEADY + _LINE[0] :][: len(before)]
    steady = (np.ptp(before, 1) < _STOP) & (before.min(1) > floor + _LOUD)
    found: list[int] = []
    for frame in np.flatnonzero(steady & (before.mean(1) - after > _STOP)) + _STEADY:
        if not found or frame > found[-1] + _APART:
            found.append(int(frame))
    return found


def _line(levels: np.ndarray, stop: int, floor: float) -> tuple[float, float] | None:
    """Fall in dB/s after a stop, and height of its line there relative to the level before; None: no line."""
    before = float(levels[stop - _STEADY : stop].mean())
    tail = levels[stop + _LINE[0] : stop + _LINE[1]]
    ends = np.flatnonzero((tail < floor) | (np.diff(tail, prepend=tail[0]) > 1.5))
    tail = tail[: ends[0]] if len(ends) else tail
    if len(tail) < _LEAST:
        return None
    times = (np.arange(len(tail)) + _LINE[0]) / _PER_SECOND
    slope, height = np.polyfit(times, tail, 1)
    off = float(np.sqrt(np.square(tail - slope * times - height).mean()))
    if slope > -60 / REVERB_TIMES[1] or off > _FIT:
        return None
    return -float(slope), float(height) - before


def place_voice(
    original: StereoFile, pan: np.ndarray, voice: StereoFile, folder: Path, dry: bool, report: Report
) -> None:
    """Write the converted voice (T, 2) as loud as the ``original``, at ``pan`` (2,), and in its room."""
    gain = 10 ** ((_loudness(original) - _loudness(voice)) / 20)
    gain = gain if math.isfinite(gain) else 1.0
    room = None if dry else estimate_room(_powers(original))
    if room:
        logger.info("the room of the original: %.1f s, %.0f dB", room.seconds, room.level)

    def placed() -> Iterator[np.ndarray]:
        reverb = _Reverb(room) if room else None
        for start in range(0, len(voice), BLOCK):
            mono = loudest(voice[start : start + BLOCK]) * np.float32(gain)
            stereo = mono[:, None] * pan
            yield stereo + reverb(stereo) if reverb else stereo
            report(start / RATE, len(voice) / RATE)

    write_stereo(folder / PLACED, placed())


class _Reverb:
    """Reverberation (T, 2) of a voice that comes in blocks, without the voice itself."""

    def __init__(self, room: Room) -> None:
        import pedalboard

        size = float(np.interp(room.seconds, _TIMES, _SIZES))
        settings = {"room_size": size, "damping": 0.4, "wet_level": 1.0, "dry_level": 0.0}
        impulse = np.zeros((2, 4 * RATE), np.float32)
        impulse[:, 0] = 1
        response = pedalboard.Pedalboard([pedalboard.Reverb(**settings)])(impulse, RATE)
        self._gain = np.float32(10 ** (room.level / 20) / math.sqrt(np.square(response).sum() / 2))
        self._board = pedalboard.Pedalboard([pedalboard.Reverb(**settings)])

    def __call__(self, block: np.ndarray) -> np.ndarray:
        wet: np.ndarray = self._board(np.ascontiguousarray(block.T), RATE, reset=False).T
        return wet * self._gain


def loudest(block: np.ndarray) -> np.ndarray:
    """Mean of the channels (T,) of a block, or of two that cancel the louder."""
    if block.shape[1] == 1:
        return block[:, 0]
    mean: np.ndarray = block.mean(1)
    energy = np.square(block).sum(0)
    if np.square(mean).sum() < 0.05 * energy.max():
        return block[:, int(energy.argmax())]
    return mean


class _Mono:
    """A file as one channel (T,)."""

    def __init__(self, file: StereoFile) -> None:
        self._file = file

    def __len__(self) -> int:
        return len(self._file)

    def __getitem__(self, where: slice) -> np.ndarray:
        return loudest(self._file[where])


def _loudness(file: StereoFile) -> float:
    return integrated_loudness(_Mono(file), RATE)


def _powers(file: StereoFile) -> np.ndarray:
    pieces = [
        np.square(block[: len(block) // HOP * HOP], dtype=np.float64).reshape(-1, HOP).mean(1)
        for block in blocks(_Mono(file), BLOCK // HOP * HOP)
    ]
    return np.concatenate(pieces)
