"""Control signals of the synthesiser, from a timeline of phones.

Each phone has steady targets, which a mouth cannot reach at once. Formants glide over 60 ms,
levels switch within a few, and consonants lean towards the vowel they precede.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthetic_voice.expression import grid_times, smooth
from synthetic_voice.phones import BREATH, PHONES, SCHWA, SILENCE, VOWELS
from synthetic_voice.score import Phone

GLIDE = 0.06  # s, formants from one phone to the next
SWITCH = 0.01  # s, levels
ATTACK, RELEASE = 0.05, 0.09  # s, the voice after and before a silence
EDGE = -30.0  # dB from which it rises and to which it falls
FRICATION = tuple(dict.fromkeys(spec.spectrum for spec in PHONES.values() if spec.spectrum))


@dataclass(frozen=True)
class Controls:
    """Control signals; the first axis of every array is the 1 ms grid."""

    f0: np.ndarray  # Hz
    formants: np.ndarray  # (grid, 4) Hz, of a 17 cm tract
    voice: np.ndarray  # linear gain of the glottal pulses
    aspiration: np.ndarray  # linear gain of the noise at the glottis, breathiness apart
    frication: np.ndarray  # (grid, kinds) linear gain of each noise spectrum in FRICATION
    lowpass: np.ndarray  # Hz
    zero: np.ndarray  # Hz
    loudness: np.ndarray  # dB, intended loudness of the voice


def articulate(phones: tuple[Phone, ...], seconds: float, f0: np.ndarray, loudness: np.ndarray) -> Controls:
    """Control signals of a timeline; ``f0`` (Hz) and ``loudness`` (dB) are on the grid."""
    times = grid_times(seconds)
    ends = np.array([phone.end for phone in phones])
    at = np.minimum(np.searchsorted(ends, times, side="right"), len(phones) - 1)
    specs = [PHONES[phone.name] for phone in phones]
    kinds = [[spec.spectrum == spectrum for spectrum in FRICATION] for spec in specs]
    frication = np.array(kinds)[at] * _gains([spec.noise for spec in specs])[at, None]
    voice = _gains([spec.voice for spec in specs])[at]
    aspiration = _gains([spec.aspiration for spec in specs])[at]
    for phone, spec in zip(phones, specs, strict=True):
        inside = slice(*np.searchsorted(times, (phone.start, phone.end)))
        elapsed = times[inside] - phone.start
        swell = np.sin(np.pi * elapsed / (phone.end - phone.start))
        if phone.name == BREATH:
            aspiration[inside] *= swell
        elif spec.decay:
            frication[inside] *= np.exp(-elapsed / spec.decay)[:, None]
        else:
            frication[inside] *= np.sqrt(swell)[:, None]
    return Controls(
        f0=f0,
        formants=np.exp(smooth(np.log(_formants(phones))[at], GLIDE)),
        voice=smooth(voice, SWITCH) * 10 ** ((_edges(phones, times) + loudness) / 20),
        aspiration=smooth(aspiration, SWITCH),
        frication=smooth(frication, 0.4 * SWITCH),
        lowpass=np.exp(smooth(np.log([spec.lowpass for spec in specs])[at], 2 * SWITCH)),
        zero=np.exp(smooth(np.log([spec.zero for spec in specs])[at], 2 * SWITCH)),
        loudness=loudness,
    )


def _gains(levels: list[float | None]) -> np.ndarray:
    return np.array([0.0 if level is None else 10 ** (level / 20) for level in levels])


def _formants(phones: tuple[Phone, ...]) -> np.ndarray:
    """Formant targets (phones, 4) in Hz, each pulled to the vowel that follows."""
    vowel = np.array(PHONES[SCHWA].formants)
    targets = np.empty((len(phones), 4))
    for index in reversed(range(len(phones))):
        spec = PHONES[phones[index].name]
        own = vowel if spec.formants is None else np.array(spec.formants)
        if phones[index].name in VOWELS:
            vowel = own
        targets[index] = spec.pull * own + (1 - spec.pull) * vowel
    return targets


def _edges(phones: tuple[Phone, ...], times: np.ndarray) -> np.ndarray:
    """Fade in dB of the voice at the ends of each phrase."""
    fade = np.zeros(len(times))
    for phone in phones:
        if phone.name not in (SILENCE, BREATH):
            continue
        for ramp in ((times - phone.end) / ATTACK, (phone.start - times) / RELEASE):
            near = (ramp >= 0) & (ramp < 1)
            fade[near] = np.minimum(fade[near], EDGE * (1 - ramp[near]) ** 2)
    return fade
