"""Losses of the acoustic model: the likelihood of the mel, and F0."""

from __future__ import annotations

import math

from torch import Tensor


def mle_loss(z: Tensor, m_p: Tensor, logs_p: Tensor, logdet: Tensor, mask: Tensor) -> Tensor:
    """Negative log-likelihood of the mel, as in the published project (and Glow-TTS).

    Args:
        z: (B, M, N), latent of the mel.
        m_p: (B, M, N), mean of the prior, zero outside the mask.
        logs_p: (B, M, N), natural log of the prior's deviation, zero outside the mask.
        logdet: (B,), log-determinant of the flow.
        mask: (B, 1, N), 1 on real frames.

    Returns:
        A float32 scalar: nats per mel bin, averaged over the real frames. A
        batch without a real frame gives a finite value, not NaN.
    """
    z, m_p, logs_p = z.float(), m_p.float(), logs_p.float()
    distance = ((z - m_p) * (-logs_p).exp()).square() * mask
    total = logs_p.sum() + 0.5 * distance.sum() - logdet.float().sum()
    return total / (mask.sum() * z.size(1)).clamp(min=1) + 0.5 * math.log(2 * math.pi)


def lf0_loss(pred_lf0: Tensor, lf0: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error of the predicted log F0, over real frames that have a pitch.

    The published project predicts F0 and leaves it out of the loss, so its
    models never learn it. Cached F0 is filled through unvoiced frames, and
    these count too, since conversion predicts them all; frames whose F0 is 0 (a
    clip without any voice) do not. Tensors are (B, 1, N); for F0 see
    :func:`modules.dsp.f0.hz_to_lf0`.
    """
    weight = mask * (lf0 > 0)
    return ((pred_lf0.float() - lf0).square() * weight).sum() / weight.sum().clamp(min=1)
