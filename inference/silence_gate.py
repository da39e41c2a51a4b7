"""Silence gate: the result is silent wherever the source is digitally silent.

Slicing leaves up to 5 s of silence beside the singing, as in the published
project, and a model still adds hum there. A recording is digitally silent only
where it was muted, so nothing is lost.
"""

from __future__ import annotations

import numpy as np

THRESHOLD = 1e-4  # RMS, -80 dBFS: above the noise of 16-bit dither (-96), far below any room
WINDOW = 0.02  # s, what the RMS is taken over: one period of the lowest voice
SHORTEST = 0.1  # s; a shorter gap may precede a plosive, which the model renders itself
FADE = 0.01  # s, at both ends of a silence, inside it
GATE_MARGIN = SHORTEST + FADE  # s; audio further away does not change the gain of a sample


def silence_gate(audio: np.ndarray, sampling_rate: int) -> np.ndarray:
    """Gain (T,), float32: 0 where the source ``audio`` (T,) is silent, 1 elsewhere, short ramps between.

    A silence is a stretch of at least 0.1 s in which every 20 ms have an RMS below
    -80 dBFS. A part of a recording has the gains of the whole but for its first
    and last ``GATE_MARGIN`` s.
    """
    window, fade = round(WINDOW * sampling_rate), round(FADE * sampling_rate)
    gain = np.ones(len(audio), np.float32)
    if len(audio) < window:
        return gain
    energy = np.concatenate([[0.0], np.cumsum(np.square(audio, dtype=np.float64))])
    silent = energy[window:] - energy[:-window] < THRESHOLD**2 * window
    edges = np.flatnonzero(np.diff(silent, prepend=False, append=False))
    ramp = np.linspace(1, 0, fade + 2, dtype=np.float32)[1:-1]
    for start, end in zip(edges[::2], edges[1::2] + window - 1, strict=True):
        if end - start >= SHORTEST * sampling_rate:
            gain[start:end] = 0
            gain[start : start + fade] = ramp
            gain[end - fade : end] = ramp[::-1]
    return gain
