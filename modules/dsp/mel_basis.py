"""Triangular mel filters, with numpy alone.

``librosa.filters.mel`` gives the same (tests/modules/dsp/test_mel.py), but
importing librosa takes a second: as long as converting a short song without PyTorch.
"""

from __future__ import annotations

import math

import numpy as np

# Slaney's scale: linear below 1 kHz, 15 mel there, logarithmic above, 27 mel to 6.4 kHz
_KNEE_HZ, _KNEE_MEL = 1000.0, 15.0
_PER_MEL = math.log(6.4) / 27


def _hz_to_mel(hz: float) -> float:
    if hz < _KNEE_HZ:
        return hz * _KNEE_MEL / _KNEE_HZ
    return _KNEE_MEL + math.log(hz / _KNEE_HZ) / _PER_MEL


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    above = np.maximum(mel - _KNEE_MEL, 0)
    return np.where(mel < _KNEE_MEL, mel * _KNEE_HZ / _KNEE_MEL, _KNEE_HZ * np.exp(above * _PER_MEL))


def mel_centres(n_mels: int, f_min: float, f_max: float) -> np.ndarray:
    """Centre frequencies (M,), Hz, of the bands of :func:`mel_basis`."""
    return _mel_to_hz(np.linspace(_hz_to_mel(f_min), _hz_to_mel(f_max), n_mels + 2))[1:-1]


def mel_basis(
    sampling_rate: int, n_fft: int, n_mels: int, f_min: float, f_max: float, equal_area: bool = True
) -> np.ndarray:
    """Weights (M, n_fft // 2 + 1), float32, of the bins in each band from ``f_min`` to ``f_max`` (Hz).

    With ``equal_area`` every triangle has the same area, 1 per Hz; else the same height, 1.
    """
    edges = _mel_to_hz(np.linspace(_hz_to_mel(f_min), _hz_to_mel(f_max), n_mels + 2))
    bins = np.arange(n_fft // 2 + 1) * (sampling_rate / n_fft)
    left, centre, right = (edges[i : n_mels + i, None] for i in range(3))
    basis = np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre)).clip(0)
    if equal_area:
        basis *= 2 / (right - left)
    return basis.astype(np.float32)


def cepstral_basis(n_mels: int, orders: range) -> np.ndarray:
    """Rows (len(orders), M), float32, of the orthonormal cosine transform of M bands; orders are above 0."""
    order, band = np.array(orders)[:, None], np.arange(n_mels) + 0.5
    cosines: np.ndarray = np.sqrt(2 / n_mels) * np.cos(np.pi / n_mels * order * band)
    return cosines.astype(np.float32)
