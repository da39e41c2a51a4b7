"""Copies of a recording in other voices, with the same content and timing.

Units that follow the formants carry the speaker. When the acoustic model is
trained on every clip in several voices, with the clean mel as the target each
time, it learns to ignore that. WORLD (Morise, Yokomori and Ozawa 2016) makes the
copies: one analysis, then a synthesis each with a stretched envelope and F0.
"""

from __future__ import annotations

import numpy as np
import pyworld

from modules.dsp.blocks import spans
from modules.dsp.f0 import fill_unvoiced

PERIOD = 10.0  # ms; 5 ms costs twice as much and the units, 20 ms apart, do not show it
WINDOW, MARGIN = 30.0, 0.5  # s of a long recording copied at a time, and on either side of them
_F0_FLOOR, _F0_CEIL = 71.0, 1100.0  # Hz; below 71 Hz WORLD's window outgrows 1024 samples at 16 kHz


def perturb_voice(
    audio: np.ndarray,
    sampling_rate: int,
    n_copies: int,
    rng: np.random.Generator,
    formant_range: tuple[float, float] = (1.05, 1.2),
    max_semitones: float = 4.0,
) -> np.ndarray:
    """Copies (n_copies, T) of ``audio``, float32, with the same timing.

    Each copy moves all formants by one factor, drawn log-uniformly from
    ``formant_range`` and applied upwards and downwards in turn (which comes
    first is drawn), and the pitch by a uniform number of semitones, up to
    ``max_semitones`` either way. Vocal tracts of women and men differ by about 1.2;
    less than 1.05 is still the same voice. Equal states of ``rng`` give equal copies.
    """
    directions = rng.choice([1, -1]) * (-1) ** np.arange(n_copies)
    smallest, largest = np.log(formant_range)
    ratios = np.exp(directions * rng.uniform(smallest, largest, n_copies))
    pitches = 2.0 ** (rng.uniform(-max_semitones, max_semitones, n_copies) / 12.0)

    copies = np.zeros((n_copies, len(audio)), np.float32)
    for read, keep in spans(len(audio), round(WINDOW * sampling_rate), round(MARGIN * sampling_rate)):
        f0, envelope, aperiodicity = analyse(audio[read], sampling_rate)
        first = read.start + keep.start
        for copy, ratio, pitch in zip(copies, ratios, pitches, strict=True):
            voice = pyworld.synthesize(
                f0 * pitch,
                stretch_formants(envelope, ratio),
                stretch_formants(aperiodicity, ratio),
                sampling_rate,
                PERIOD,
            )
            copy[first : first + keep.stop - keep.start] = voice[keep]
    return copies


def analyse(audio: np.ndarray, sampling_rate: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """F0 (N,) in Hz with gaps filled, envelope and aperiodicity (N, K) of ``audio`` (T,), every 10 ms."""
    # the last frame then lies behind the last sample, and one sample is enough to analyse
    padded = np.pad(audio.astype(np.float64), (0, round(sampling_rate * PERIOD / 1000.0) + 1))
    f0, times = pyworld.dio(padded, sampling_rate, _F0_FLOOR, _F0_CEIL, frame_period=PERIOD, speed=4)
    f0 = pyworld.stonemask(padded, f0, times, sampling_rate)
    envelope = pyworld.cheaptrick(padded, f0, times, sampling_rate, f0_floor=_F0_FLOOR)
    aperiodicity = pyworld.d4c(padded, f0, times, sampling_rate, fft_size=2 * (envelope.shape[1] - 1))
    # unvoiced frames are all noise already; a pitch of 0 would cost 500 filters a second there
    return fill_unvoiced(f0)[0].astype(np.float64), envelope, aperiodicity


def stretch_formants(spectra: np.ndarray, ratio: float) -> np.ndarray:
    """Spectra (N, K) with what was at f now at ``ratio`` * f; the last value fills up."""
    source = np.minimum(np.arange(spectra.shape[1]) / ratio, spectra.shape[1] - 1)
    below = np.minimum(source.astype(int), spectra.shape[1] - 2)
    part = source - below
    return np.ascontiguousarray((1 - part) * spectra[:, below] + part * spectra[:, below + 1])
