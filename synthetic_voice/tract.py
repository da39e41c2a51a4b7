"""Vocal tract and vocal folds of one singer, as transfer functions.

The tract is a product of resonances (Fant, 1960): four formants that move with
the phones, and all higher ones, which are fixed for a singer. The spectrum of
the glottal pulse follows Doval, d'Alessandro and Henrich (2006): a glottal
formant near f0, then a tilt.
"""

from __future__ import annotations

import numpy as np

from synthetic_voice.controls import FRICATION
from synthetic_voice.phones import PHONES, SCHWA, VOWELS, Bump
from synthetic_voice.singers import SyntheticSinger

CEILING = 19500.0  # Hz; no harmonic lies above
SLOPE = 2500.0  # Hz below the ceiling over which everything fades out
GLOTTAL_Q = 1.2  # of the glottal formant
NASAL_POLE = 1200.0  # Hz
NASAL_WIDTH = 0.2  # bandwidth over centre of the nasal pole and zero
SOUND_SPEED = 35000.0  # cm/s, in warm and humid air
TABLE_TRACT = 17.0  # cm, the tract that the phone table describes


class Tract:
    """The transfer functions of one singer on the K = size // 2 + 1 bins of an FFT."""

    def __init__(self, singer: SyntheticSinger, sampling_rate: int, size: int) -> None:
        self.singer = singer
        self.scale = TABLE_TRACT / singer.tract
        self.limit = min(CEILING, 0.45 * sampling_rate)  # Hz
        self.hz = np.fft.rfftfreq(size, 1 / sampling_rate).astype(np.float32)
        fade = np.sin(0.5 * np.pi * np.clip((self.limit - self.hz) / SLOPE, 0, 1)) ** 2
        self.upper = (fade * self._upper_formants()).astype(np.complex64)
        low = 1j * self.hz / 500
        aspiration = low / ((1 + low) * (1 + 1j * self.hz / 5000))
        aspiration /= _rms(aspiration * self.formants(np.array([PHONES[SCHWA].formants]))[0])
        self.aspiration = aspiration.astype(np.complex64)  # (K,), filtered by formants()
        self.frication = np.stack([fade * self._frication(bumps) for bumps in FRICATION])  # (kinds, K)
        self.voice_level = 1.0
        self.voice_level = 1 / self._vowel_rms()

    def formants(self, hz: np.ndarray, f0: np.ndarray | float = 0.0) -> np.ndarray:
        """Response (N, K) of this tract for table formants (N, 4) in Hz.

        The jaw opens where f0 (N,) exceeds the first one, as sopranos do (Sundberg, 1975):
        F1 below f0 would have nothing to amplify.
        """
        own = hz * self.scale * np.array(self.singer.shape)
        own[:, 0] = np.maximum(own[:, 0], 1.02 * f0)
        response = np.ones((len(hz), len(self.hz)), np.complex64)
        for formant in own.T:
            response *= _resonance(self.hz, formant, self.singer.bandwidth * (50 + 0.05 * formant))
        return self.upper / response

    def glottis(self, f0: np.ndarray, tilt: np.ndarray) -> np.ndarray:
        """Pulse spectrum (N, K) for f0 (N,) and the corner of the tilt (N,) in Hz."""
        ratio = self.hz / (self.singer.glottal * f0).astype(np.float32)[:, None]
        corner = 1j * self.hz / tilt.astype(np.float32)[:, None]
        peak = 1 - ratio**2 + 1j * ratio / np.float32(GLOTTAL_Q)
        return 1j * np.float32(self.voice_level) * ratio / (peak * (1 + corner))

    def opening(self, zero: np.ndarray, lowpass: np.ndarray) -> np.ndarray:
        """Response (N, K) of an open nose and closed lips: antiformant and cut-off (N,) in Hz."""
        pole = np.array([NASAL_POLE])
        nose = _resonance(self.hz, zero, NASAL_WIDTH * zero) / _resonance(self.hz, pole, NASAL_WIDTH * pole)
        return nose / (1 + (self.hz / lowpass.astype(np.float32)[:, None]) ** 2)

    def _upper_formants(self) -> np.ndarray:
        """Response (K,) of all formants above the fourth.

        They are those of a tube, with small random shifts for each singer, and reach
        far beyond the audible range, since their flanks raise the band below.
        """
        rng = np.random.default_rng(self.singer.upper)
        tract = self.singer.tract
        centres = (2 * np.arange(5, 200) - 1) * SOUND_SPEED / (4 * tract)
        centres[:12] *= 1 + rng.uniform(-0.05, 0.05, 12)
        widths = self.singer.bandwidth * (60 + 0.03 * centres + 30 * (centres / 4000) ** 2)
        response = 1 / np.prod(_resonance(self.hz, centres, widths).astype(complex), axis=0)
        # the side branches above the larynx take energy out between 4 and 6 kHz
        dip = np.array([rng.uniform(4000, 5500)]) * self.scale
        return response * (_resonance(self.hz, dip, 0.15 * dip) / _resonance(self.hz, dip, 0.4 * dip))[0]

    def _frication(self, bumps: tuple[Bump, ...]) -> np.ndarray:
        """Spectrum (K,) of the noise of a constriction, of unit power."""
        scale = self.scale**0.6  # the cavity behind the teeth varies less than the whole tract
        shape = np.zeros_like(self.hz)
        for centre, width, gain in bumps:
            shape += gain * np.exp(-0.5 * ((self.hz - scale * centre) / width) ** 2)
        return shape / _rms(shape)

    def _vowel_rms(self) -> float:
        """RMS of a sung vowel, over the vowels and the range of the singer."""
        mouth = self.formants(np.array([PHONES[vowel].formants for vowel in VOWELS]))
        power = []
        for pitch in np.linspace(self.singer.low, self.singer.high, 7):
            f0 = 440 * 2 ** ((pitch - 69) / 12)
            glottis = self.glottis(np.array([f0]), np.array([self.singer.tilt]))
            bins = np.rint(np.arange(f0, self.limit, f0) / self.hz[1]).astype(int)
            power.append(2 * (np.abs(mouth * glottis)[:, bins] ** 2).sum(axis=1))
        return float(np.sqrt(np.mean(power)))


def _resonance(hz: np.ndarray, centre: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Denominators (N, K) of resonances (N,) in Hz: 1 at 0 Hz, smallest at the centre."""
    ratio = hz / centre.astype(np.float32)[:, None]
    return 1 - ratio**2 + 1j * ratio * (width / centre).astype(np.float32)[:, None]


def _rms(spectrum: np.ndarray) -> float:
    return float(np.sqrt((np.abs(spectrum) ** 2).mean()))
