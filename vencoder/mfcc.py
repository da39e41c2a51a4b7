"""Units without a network: the shape of the spectrum, relative to the clip's average.

Cepstral coefficients 1 to 12 of a log-mel spectrum carry vowels and consonants;
pitch is in higher coefficients and loudness in coefficient 0, which are left
out. Normalizing each clip by its own mean and scale removes the microphone and
part of the speaker's timbre. The formants stay: preprocessing makes perturbed
copies (modules/dataset/perturb.py) so that training learns to ignore them.

In NumPy, so that it works without PyTorch; librosa's MFCC, the tests' reference,
has neither the floor nor the weighted statistics.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modules.dsp.mel_basis import cepstral_basis, mel_basis
from vencoder.base import ArrayEncoder

Floats = NDArray[np.float32]

_N_FFT = 512  # 32 ms; 25 ms follows single periods of low voices, and matched 2 % fewer frames
_N_MELS = 40
_CHUNK = 1500  # units, half a minute, whose spectra are computed at once
_SILENT = 1e-5  # RMS of full scale 1; a clip below it (-100 dB) has no content
_ACTIVE = 1e-2  # a frame 20 dB below the loud ones counts half in the statistics
_FLOOR = 1e-2  # added to the power, relative to the average spectrum
_PRIOR_FRAMES = 25.0  # half a second with the deviation of typical speech: a held vowel varies little
_LIMIT = 5.0  # standard deviations


class MfccEncoder(ArrayEncoder):
    """Cepstral coefficients c1 to c12, 50 a second, with mean 0 and about unit scale in every clip.

    Unit u stands for the 20 ms around (u + 0.5) * 320 samples. Loudness has no
    influence, and silence around the voice almost none: statistics are weighted
    by energy, and silent frames are near 0, as an average frame is. Computed on
    the CPU. ``weights`` and ``dtype`` have no effect.
    """

    receptive_field = 1  # it pads by itself
    context_seconds = 12.0  # a short slice's mean and scale are those of the song around it
    ssl_dim = 12

    def _set_up(self) -> None:
        rate = self.sampling_rate
        self._basis = mel_basis(rate, _N_FFT, _N_MELS, 0.0, rate / 2, equal_area=False)
        self._window = np.hanning(_N_FFT + 1)[:-1].astype(np.float32)
        orders = range(1, self.ssl_dim + 1)
        self._cosines = cepstral_basis(_N_MELS, orders)
        # typical standard deviations of speech and singing
        self._typical = (8.0 * np.array(orders)[:, None] ** -0.65).astype(np.float32)

    def units(self, audio: Floats) -> Floats:
        """Units (12, U) of ``audio`` (T,) at 16 kHz; U = T / 320, rounded, at least 1."""
        power = self._mel_power(audio)
        energy = power.sum(0)
        # mean over frames weighted by their energy: silence, however long, does not change it
        loud = np.square(energy).sum() / max(energy.sum(), np.float32(1e-30))
        if loud < _SILENT**2 * np.square(self._window).sum() * (_N_FFT // 2 + 1):
            return np.zeros((self.ssl_dim, power.shape[1]), np.float32)
        power, energy = power / loud, energy / loud
        weight = energy / (energy + _ACTIVE)
        share = weight / weight.sum()

        def average(rows: Floats) -> Floats:
            return (rows * share).sum(1, keepdims=True)

        # a floor in the shape of the average spectrum hides noise and quantization below it
        shape = np.log(power + 1e-5 * average(power))
        cepstrum = self._cosines @ np.log(power + _FLOOR * np.exp(average(shape)))
        deviation = cepstrum - average(cepstrum)
        n_active = weight.sum()
        variance = n_active * average(np.square(deviation)) + _PRIOR_FRAMES * np.square(self._typical)
        scale = np.sqrt(variance / (n_active + _PRIOR_FRAMES))
        return (deviation / scale).clip(-_LIMIT, _LIMIT).astype(np.float32)

    def _mel_power(self, audio: Floats) -> Floats:
        """Mel powers (40, U); outside the clip there is silence."""
        n_units = max(1, (len(audio) + self.hop_length // 2) // self.hop_length)
        left = (_N_FFT - self.hop_length) // 2
        length = (n_units - 1) * self.hop_length + _N_FFT
        padded = np.pad(audio, (left, max(0, length - left - len(audio))))[:length]
        frames = np.lib.stride_tricks.sliding_window_view(padded, _N_FFT)[:: self.hop_length]
        parts = []
        for first in range(0, n_units, _CHUNK):
            spectrum = np.fft.rfft(frames[first : first + _CHUNK] * self._window)
            parts.append(self._basis @ (np.square(spectrum.real) + np.square(spectrum.imag)).T)
        return parts[0] if len(parts) == 1 else np.concatenate(parts, 1)
