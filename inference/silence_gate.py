"""Where the song itself is silent, the result is silent too.

Slicing leaves up to 5 s of a rest with the singing beside it, as in the
published project, and a model that is handed silence still hums. A recording
holds digital silence only where somebody muted it, so nothing is lost there.
"""

from __future__ import annotations

import numpy as np

THRESHOLD = 1e-4  # RMS, -80 dBFS: above the noise of 16-bit dither (-96), far below any room
WINDOW = 0.02  # s, what the RMS is taken over: one period of the lowest voice
SHORTEST = 0.1  # s; a shorter rest may be the gap before a plosive, which the model renders itself
FADE = 0.01  # s, at both ends of a rest and inside it
GATE_MARGIN = SHORTEST + FADE  # s; the song at this distance decides over a sample, and nothing beyond


def silence_gate(audio: np.ndarray, sampling_rate: int) -> np.ndarray:
    """Return the gain of every sample: 0 in the rests of ``audio``, 1 elsewhere, short ramps between.

    A rest is a stretch of at least 0.1 s in which every 20 ms have an RMS below
    -80 dBFS. ``audio`` that is a part of a song gives the gains of the whole
    song but for its first and last ``GATE_MARGIN`` s, so a song may come in slices.

    Args:
        audio: (T,), of the source.
        sampling_rate: Hz.

    Returns:
        (T,) float32, 0 to 1.
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
