"""What stereo alone tells: a voice mostly stands in the centre, instruments mostly beside it.

A floor to compare networks with, and the only separator that needs nothing. Bass and drums stand in the
centre too, so only the band of a voice is taken.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from separation.base import RATE, Separator

N_FFT, HOP = 4096, 1024
BAND = (120.0, 11_000.0)  # Hz
_EPS = 1e-9


class CentreSeparator(Separator):
    """Keeps what both channels of a mix have alike. Of a mono mix that is the whole band."""

    @torch.inference_mode()
    def vocals(self, mix: np.ndarray) -> np.ndarray:
        """See :meth:`Separator.vocals`."""
        window = torch.hann_window(N_FFT, device=self.device)
        sound = torch.from_numpy(mix.T.copy()).to(self.device)
        spectrum = torch.stft(sound, N_FFT, HOP, window=window, pad_mode="constant", return_complex=True)
        frequency = torch.arange(len(spectrum[0]), device=self.device) * RATE / N_FFT
        inside = (frequency >= BAND[0]) & (frequency <= BAND[1])
        spectrum = spectrum * centre_mask(spectrum[0], spectrum[1]) * inside[:, None]
        return torch.istft(spectrum, N_FFT, HOP, window=window, length=len(mix)).T.cpu().numpy()


def centre_mask(left: Tensor, right: Tensor) -> Tensor:
    """Share, 0 to 1, of each bin of two spectra (F, N) that stands in the centre: alike, and in phase."""
    apart = (left - right).abs() / (left.abs() + right.abs() + _EPS)
    return (1 - 2 * apart).clamp(min=0)
