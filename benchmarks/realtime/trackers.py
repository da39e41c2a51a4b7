"""F0 predictors at a window's right edge, where a live conversion reads them.

Each window ends at some time of a song of known pitch. By how many ms before its end a frame
lies: the share of the voiced frames that are off by over 50 cents, or called unvoiced.
"""

from __future__ import annotations

import time
from contextlib import suppress

import numpy as np

from benchmarks.measure import table
from inference.realtime.engine import PITCH_SECONDS
from modules.common.errors import MissingWeightsError
from modules.f0_predictor import F0_PREDICTORS
from synthetic_voice import SINGERS, Performance, compose, sing

RATE, HOP = 44100, 512
SECONDS = 8.0  # of each singer
WINDOWS = 150  # of each
FRAMES = (1, 2, 3, 4, 6, 9)  # before the end
TRACKERS = ("pm", "swift-f0", "dio", "harvest", "fcpe")


def measure() -> None:
    """Print the table."""
    songs = [sing(compose(name, SECONDS, 1), name, 1) for name in SINGERS]
    window = round(PITCH_SECONDS * RATE / HOP)
    rows = []
    for name in TRACKERS:
        with suppress(MissingWeightsError):  # its package is not installed
            rows.append([name, *_errors(name, songs, window)])
    header = [f"{1000 * frame * HOP / RATE:.0f} ms" for frame in FRAMES]
    table(["predictor", *header, "ms per window"], rows)


def _errors(name: str, songs: list[Performance], window: int) -> list[str]:
    predictor = F0_PREDICTORS.build(name)
    wrong, voiced, spent = np.zeros(len(FRAMES)), np.zeros(len(FRAMES)), []
    for number, song in enumerate(songs):
        ends = np.random.default_rng(number).integers(window, len(song.audio) // HOP, WINDOWS)
        for end in ends:
            audio = song.audio[(end - window) * HOP : end * HOP]
            began = time.perf_counter()
            f0, uv = predictor.predict(audio, window)
            spent.append(time.perf_counter() - began)
            places = window - np.array(FRAMES)
            known = song.f0_at((end - np.array(FRAMES)) * HOP / RATE)
            cents = 1200 * np.abs(np.log2(np.maximum(f0[places], 1e-3) / np.maximum(known, 1e-3)))
            wrong += (known > 0) & ((cents > 50) | (uv[places] == 0))
            voiced += known > 0
    shares = [f"{100 * share:.1f} %" for share in wrong / voiced]
    return [*shares, f"{1000 * float(np.median(spent)):.1f}"]
