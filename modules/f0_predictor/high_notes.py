"""Notes above the usual range, which a tracker confined to it hears an octave low, or not at all.

Tracking everything in a wider range would change other notes: some frames would come out an octave
high. So the wider range is asked only where nothing sounds below it, and what it gives must be a
voice: noise is as strong half-way between harmonics as in them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from modules.dsp.f0 import BRIEFEST, F0_MAX

_LOUD = 0.01  # of the loudest frame's amplitude, -40 dB: softer frames are not asked about
_LOWER = 0.1  # of the amplitude, -20 dB; more below the lowest high note is a voice there
_BELOW = 1050.0  # Hz, more than a spectral line below F0_MAX
_CONTEXT = 0.3  # s of sound on either side of what is asked
_WINDOW = 0.046  # s, of a spectrum
_HARMONICS = 4  # that are compared with what lies between them
_BETWEEN = 0.25  # of the amplitude of harmonics
_WIDTH = 0.04  # of F0, to either side of a harmonic
_BLOCK = 2048  # spectra at a time

Listen = Callable[[np.ndarray, int], np.ndarray]


def add_high_notes(
    track: np.ndarray, audio: np.ndarray, sampling_rate: int, hop_length: int, listen: Listen
) -> np.ndarray:
    """``track`` (N,), Hz, 0 or NaN where unvoiced, with the notes of ``audio`` (T,) above 1100 Hz.

    ``listen`` tracks a part of the audio, (T',) and its number of frames, in the wider range.
    """
    frame_rate = sampling_rate / hop_length
    least, context = math.ceil(BRIEFEST * frame_rate), math.ceil(_CONTEXT * frame_rate)
    high = _nothing_below(audio, np.arange(len(track)) * hop_length, sampling_rate)
    asked = np.zeros(len(track), bool)
    for start, stop in _runs(high, least):
        asked[max(0, start - context) : stop + context] = True
    track = track.copy()
    for first, end in _runs(asked):
        wide = np.nan_to_num(listen(audio[first * hop_length : end * hop_length], end - first))
        for start, stop in _runs(wide > F0_MAX, least):
            here = slice(first + start, first + stop)
            times = np.arange(here.start, here.stop) * hop_length
            if high[here].mean() > 0.5 and _is_voice(audio, times, wide[start:stop], sampling_rate):
                track[here] = wide[start:stop]
    return track


def _nothing_below(audio: np.ndarray, times: np.ndarray, sampling_rate: int) -> np.ndarray:
    """Whether the loud frames of ``audio`` (T,) at samples ``times`` (N,) sound above 1100 Hz alone."""
    parts = []
    for begin in range(0, len(times), _BLOCK):
        spectra, hertz = _spectra(audio, times[begin : begin + _BLOCK], sampling_rate)
        power = np.square(spectra)
        parts.append(np.stack([power[:, hertz < _BELOW].sum(1), power.sum(1)]))
    lower, whole = np.concatenate([np.zeros((2, 0)), *parts], axis=1)
    return (whole > _LOUD**2 * whole.max(initial=0.0)) & (lower < _LOWER**2 * whole)


def _is_voice(audio: np.ndarray, times: np.ndarray, f0: np.ndarray, sampling_rate: int) -> bool:
    """Whether ``audio`` (T,) around ``times`` (L,), samples, has little between harmonics of ``f0`` (L,)."""
    spectra, hertz = _spectra(audio, times, sampling_rate)
    halves = 2 * hertz / f0[:, None]  # even at harmonics, odd between them
    order = np.rint(halves)
    near = (np.abs(halves - order) < 2 * _WIDTH) & (order > 0) & (order <= 2 * _HARMONICS)
    own, between = ((spectra * (near & (order % 2 == odd))).sum(1) for odd in (0, 1))
    return bool(np.median(between / np.maximum(own, 1e-12)) < _BETWEEN)


def _spectra(audio: np.ndarray, times: np.ndarray, sampling_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Amplitudes (L, K) around samples ``times`` (L,) of ``audio`` (T,), and their frequencies (K,), Hz."""
    length = round(_WINDOW * sampling_rate)
    before = length // 2
    first, last = int(times[0]) - before, int(times[-1]) - before + length
    part = np.zeros(last - first, np.float32)
    there = audio[max(first, 0) : last]
    part[max(-first, 0) : max(-first, 0) + len(there)] = there
    windows = np.lib.stride_tricks.sliding_window_view(part, length)[times - times[0]]
    return np.abs(np.fft.rfft(windows * np.hanning(length))), np.fft.rfftfreq(length, 1 / sampling_rate)


def _runs(mask: np.ndarray, least: int = 1) -> list[tuple[int, int]]:
    """Starts and ends of runs of at least ``least`` in ``mask`` (N,)."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
    return [(start, stop) for start, stop in edges.tolist() if stop - start >= least]
