"""Mel-cepstral distortion: the distance of two spectral envelopes, in dB.

Training measures its mels with it, evaluation whole conversions. Libraries for it
(pymcd, SPTK) compute cepstra from audio with WORLD; here they come from the mels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

ORDER = 24  # cepstral coefficients that count; the first, loudness, does not
RANGE = 40.0  # dB; frames so far below the loudest are silence, and silence has no envelope


def mel_cepstra(mel: Tensor) -> Tensor:
    """Mel cepstra (ORDER, N) of natural-log mels (M, N), without the zeroth.

    Scaled as those of SPTK: ln|H| is the sum of c_k cos(k ω) over the warped frequency ω.
    """
    n_mels = mel.shape[0]
    band = (torch.arange(n_mels, dtype=mel.dtype, device=mel.device) + 0.5) * math.pi / n_mels
    k = torch.arange(1, ORDER + 1, dtype=mel.dtype, device=mel.device)
    return 2 / n_mels * torch.cos(k[:, None] * band) @ mel


def mel_cepstral_distortion(recorded: Tensor, made: Tensor) -> float:
    """Mean distortion (dB) of the natural-log mel ``made`` (M, N'); NaN without frames.

    10 √2 / ln 10 · √(Σ_k (c_k − c'_k)²), k = 1 to 24, over the frames of the natural-log mel
    ``recorded`` (M, N) that are no more than 40 dB below its loudest (Kubichek, "Mel-cepstral
    distance measure for objective speech quality assessment", 1993). Frames beyond the
    shorter mel are left out. It is the RMS
    distance of the smoothed log spectra, whatever their loudness. Values compare
    only with others of the same mel bands.
    """
    n = min(recorded.shape[-1], made.shape[-1])
    if n == 0:
        return math.nan
    true, mel = recorded[:, :n].cpu().double(), made[:, :n].cpu().double()  # MPS has no float64
    level = (2 * true).logsumexp(0) * 10 / math.log(10)
    loud = level > level.max() - RANGE
    difference = mel_cepstra(true[:, loud]) - mel_cepstra(mel[:, loud])
    return 10 * math.sqrt(2) / math.log(10) * float(difference.square().sum(0).sqrt().mean())
