"""Units without a network: the shape of the spectrum, relative to the clip's average.

Cepstral coefficients 1 to 12 of a log-mel spectrum carry the vowels and
consonants; pitch sits above them and loudness in coefficient 0, which is left
out. Taking away each clip's own mean and scale removes the microphone and part
of the singer. The rest of the singer, the formants, stays: preprocessing makes
perturbed copies (modules/perturb.py) so that training can look past it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import librosa
import torch
from torch import Tensor
from torch.nn import functional as F

from vencoder.base import SpeechEncoder

_N_FFT = 512  # 32 ms: 25 ms follows the single periods of low voices, found 2 % fewer frames again
_N_MELS = 40
_SILENT = 1e-5  # RMS of full scale 1; a clip below it (-100 dB) has no content
_ACTIVE = 1e-2  # a frame 20 dB below the loud ones counts half in the statistics
_FLOOR = 1e-2  # of the average spectrum; what is 20 dB weaker fades into it
_PRIOR_FRAMES = 25.0  # a held vowel varies little: half a second of typical speech steadies its scale
_LIMIT = 5.0  # standard deviations


class MfccEncoder(SpeechEncoder):
    """Cepstral coefficients c1 to c12, 50 a second, of mean 0 and about unit scale in every clip.

    Unit u stands for the 20 ms around (u + 0.5) * 320 samples. Loudness has no
    influence, and silence around the voice next to none: it is left out of the
    statistics, and silent frames are near 0, as an average frame is.

    Args:
        device: Where the units are computed and returned.
        weights: There are none.
        dtype: Without influence: the work is a few products, in float32.
    """

    name = "mfcc"
    receptive_field = 1  # it pads by itself
    context_seconds = 12.0  # a short slice's mean and scale are those of the song around it
    ssl_dim = 12

    def __init__(
        self,
        device: torch.device | str = "cpu",
        weights: Path | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.device = torch.device(device)
        basis = librosa.filters.mel(sr=self.sampling_rate, n_fft=_N_FFT, n_mels=_N_MELS, norm=None)
        self._basis = torch.from_numpy(basis).to(self.device)
        self._window = torch.hann_window(_N_FFT, device=self.device)
        order = torch.arange(1, self.ssl_dim + 1)
        band = torch.arange(_N_MELS) + 0.5
        cosines = math.sqrt(2 / _N_MELS) * torch.cos(math.pi / _N_MELS * order[:, None] * band)
        self._cosines = cosines.to(self.device)
        # standard deviations of speech and singing fall about like this
        self._typical = (8.0 * order[:, None] ** -0.65).to(self.device)

    def _encode(self, waves: Sequence[Tensor]) -> list[Tensor]:
        return [self._cepstrum(wave) for wave in waves]

    def _cepstrum(self, audio: Tensor) -> Tensor:
        """Return the units (12, U) of ``audio`` (T,) at 16 kHz; U = T / 320, rounded, at least 1."""
        power = self._mel_power(audio)
        energy = power.sum(0)
        # mean over frames in proportion to their energy: silence, however long, does not move it
        loud = energy.square().sum() / energy.sum().clamp(min=1e-30)
        if loud < _SILENT**2 * self._window.square().sum() * (_N_FFT // 2 + 1):
            return power.new_zeros(self.ssl_dim, power.shape[1])
        power, energy = power / loud, energy / loud
        weight = energy / (energy + _ACTIVE)
        share = weight / weight.sum()

        def average(rows: Tensor) -> Tensor:
            return (rows * share).sum(1, keepdim=True)

        # a floor in the shape of the average spectrum: below it is neither noise nor a spectrum of its own
        shape = (power + 1e-5 * average(power)).log()
        cepstrum = self._cosines @ (power + _FLOOR * average(shape).exp()).log()
        deviation = cepstrum - average(cepstrum)
        n_active = weight.sum()
        variance = n_active * average(deviation.square()) + _PRIOR_FRAMES * self._typical.square()
        return (deviation / (variance / (n_active + _PRIOR_FRAMES)).sqrt()).clamp(-_LIMIT, _LIMIT)

    def _mel_power(self, audio: Tensor) -> Tensor:
        """Return mel powers (40, U); outside the clip there is silence."""
        n_units = max(1, (len(audio) + self.hop_length // 2) // self.hop_length)
        left = (_N_FFT - self.hop_length) // 2
        length = (n_units - 1) * self.hop_length + _N_FFT
        padded = F.pad(audio, (left, max(0, length - left - len(audio))))[:length]
        spectrum = torch.stft(
            padded, _N_FFT, self.hop_length, window=self._window, center=False, return_complex=True
        )
        return self._basis @ torch.view_as_real(spectrum).square().sum(-1)
