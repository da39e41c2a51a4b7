"""Units without a network: the shape of the spectrum, relative to the clip's average.

Cepstral coefficients 1 to 12 of a log-mel spectrum carry the vowels and
consonants; pitch sits above them and loudness in coefficient 0, which is left
out. Taking away each clip's own mean and scale removes the microphone and part
of the singer. The rest of the singer, the formants, stays: preprocessing makes
perturbed copies (modules/dataset/perturb.py) so that training can look past it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from modules.dsp.mel_basis import mel_basis
from vencoder.base import ArrayEncoder

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float32]

_N_FFT = 512  # 32 ms: 25 ms follows the single periods of low voices, found 2 % fewer frames again
_N_MELS = 40
_SILENT = 1e-5  # RMS of full scale 1; a clip below it (-100 dB) has no content
_ACTIVE = 1e-2  # a frame 20 dB below the loud ones counts half in the statistics
_FLOOR = 1e-2  # of the average spectrum; what is 20 dB weaker fades into it
_PRIOR_FRAMES = 25.0  # a held vowel varies little: half a second of typical speech steadies its scale
_LIMIT = 5.0  # standard deviations


class MfccEncoder(ArrayEncoder):
    """Cepstral coefficients c1 to c12, 50 a second, of mean 0 and about unit scale in every clip.

    Unit u stands for the 20 ms around (u + 0.5) * 320 samples. Loudness has no
    influence, and silence around the voice next to none: it is left out of the
    statistics, and silent frames are near 0, as an average frame is.

    Args:
        device: Where the units are returned; they are a few products, made on the CPU.
        weights: There are none.
        dtype: Without influence: the work is done in float32.
    """

    name = "mfcc"
    receptive_field = 1  # it pads by itself
    context_seconds = 12.0  # a short slice's mean and scale are those of the song around it
    ssl_dim = 12

    def __init__(
        self,
        device: torch.device | str = "cpu",
        weights: Path | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.device = device
        rate = self.sampling_rate
        self._basis = mel_basis(rate, _N_FFT, _N_MELS, 0.0, rate / 2, equal_area=False)
        self._window = np.hanning(_N_FFT + 1)[:-1].astype(np.float32)
        order = np.arange(1, self.ssl_dim + 1)[:, None]
        band = np.arange(_N_MELS) + 0.5
        cosines = np.sqrt(2 / _N_MELS) * np.cos(np.pi / _N_MELS * order * band)
        self._cosines = cosines.astype(np.float32)
        # standard deviations of speech and singing fall about like this
        self._typical = (8.0 * order**-0.65).astype(np.float32)

    def units(self, audio: Floats) -> Floats:
        """Return the units (12, U) of ``audio`` (T,) at 16 kHz; U = T / 320, rounded, at least 1."""
        power = self._mel_power(audio)
        energy = power.sum(0)
        # mean over frames in proportion to their energy: silence, however long, does not move it
        loud = np.square(energy).sum() / max(energy.sum(), np.float32(1e-30))
        if loud < _SILENT**2 * np.square(self._window).sum() * (_N_FFT // 2 + 1):
            return np.zeros((self.ssl_dim, power.shape[1]), np.float32)
        power, energy = power / loud, energy / loud
        weight = energy / (energy + _ACTIVE)
        share = weight / weight.sum()

        def average(rows: Floats) -> Floats:
            return (rows * share).sum(1, keepdims=True)

        # a floor in the shape of the average spectrum: below it is neither noise nor a spectrum of its own
        shape = np.log(power + 1e-5 * average(power))
        cepstrum = self._cosines @ np.log(power + _FLOOR * np.exp(average(shape)))
        deviation = cepstrum - average(cepstrum)
        n_active = weight.sum()
        variance = n_active * average(np.square(deviation)) + _PRIOR_FRAMES * np.square(self._typical)
        scale = np.sqrt(variance / (n_active + _PRIOR_FRAMES))
        return (deviation / scale).clip(-_LIMIT, _LIMIT).astype(np.float32)

    def _mel_power(self, audio: Floats) -> Floats:
        """Return mel powers (40, U); outside the clip there is silence."""
        n_units = max(1, (len(audio) + self.hop_length // 2) // self.hop_length)
        left = (_N_FFT - self.hop_length) // 2
        length = (n_units - 1) * self.hop_length + _N_FFT
        padded = np.pad(audio, (left, max(0, length - left - len(audio))))[:length]
        frames = np.lib.stride_tricks.sliding_window_view(padded, _N_FFT)[:: self.hop_length]
        spectrum = np.fft.rfft(frames * self._window)
        return self._basis @ (np.square(spectrum.real) + np.square(spectrum.imag)).T
