"""Augmentation of a pair of spectra: tempo, noise, masking, vocal tract length."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tools.starter.phones import INDEX, VOWELS
from vencoder.ppg import N_MELS, relative_mel

_VOWELS = torch.tensor([INDEX[name] for name in VOWELS])
_LONGEST = 1.3  # of the tempo


def crop(mels: Tensor, phones: Tensor, n_units: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A random stretch of the copies (K, 2 n_units, 80) at another tempo, and its phones (n_units,).

    The piece, log powers (K, 2 U, 80) and classes (U,), is repeated where it is too short. In a
    third of the cases vowels are held, as in singing. All copies are changed alike.
    """
    if len(phones) < n_units * _LONGEST + 1:
        n_times = int(n_units * _LONGEST // len(phones)) + 2
        mels, phones = mels.repeat(1, n_times, 1), phones.repeat(n_times)
    start = int(rng.integers(0, len(phones) - int(n_units * _LONGEST)))
    here = phones[start : start + int(n_units * _LONGEST) + 1]
    speed = np.full(len(here), np.exp(rng.uniform(np.log(0.75), np.log(_LONGEST))))
    if rng.random() < 0.33:
        speed[torch.isin(here, _VOWELS).numpy()] *= rng.uniform(0.35, 0.8)
    # how much new time each unit takes, and so which old time is at each new one
    ends = np.cumsum(1 / speed)
    places = np.interp((np.arange(2 * n_units) + 0.5) / 2, np.append(0, ends), np.arange(len(ends) + 1))
    frames = np.clip(2 * (start + places) - 0.5, 0, mels.shape[1] - 1.001)
    below = torch.from_numpy(frames.astype(np.int64))
    part = torch.from_numpy((frames - below.numpy()).astype(np.float32))[:, None]
    middle = places.reshape(-1, 2).mean(1).astype(np.int64).clip(0, len(here) - 1)
    mel = torch.lerp(mels[:, below].float(), mels[:, below + 1].float(), part)
    return mel, here[torch.from_numpy(middle)].long()


def disturb(mel: Tensor, rng: np.random.Generator) -> Tensor:
    """Input (B, N, 80) of the network from log powers (B, N, 80): warped, noisy and masked."""
    n_batch, n_frames, _ = mel.shape

    def uniform(low: float, high: float) -> Tensor:
        return torch.from_numpy(rng.uniform(low, high, (n_batch, 1, 1))).float()

    bands = torch.arange(N_MELS).float()
    places = (bands * uniform(-0.07, 0.07).exp()).clamp(max=N_MELS - 1.001)
    below = places.long().expand(-1, n_frames, -1)
    mel = torch.lerp(mel.gather(2, below), mel.gather(2, below + 1), places - below)

    loud = mel.exp().sum(2, keepdim=True).mean(1, keepdim=True).log() - np.log(N_MELS)
    noise = loud - uniform(10, 50) / 4.34 + uniform(-2, 2) * (bands / N_MELS - 0.5)
    grain = torch.rand(mel.shape).clamp(min=1e-3).log().neg().log()  # as powers of noise fall
    mel = torch.logaddexp(mel, noise + grain)

    mel, _ = relative_mel(mel.exp())
    for axis, widest, n_all in ((2, 12, N_MELS), (1, 14, n_frames)):
        width = uniform(0, widest) * (uniform(0, 1) < 0.6)
        first = uniform(0, 1) * (n_all - width)
        index = torch.arange(n_all).view(1, 1, -1) if axis == 2 else torch.arange(n_all).view(1, -1, 1)
        mel = mel.masked_fill((index >= first) & (index < first + width), 0.0)
    return mel


def contrast(one: Tensor, other: Tensor, weight: Tensor) -> Tensor:
    """InfoNCE loss: cross-entropy of identifying each unit of a clip among those of the other copy.

    The voice is the same throughout a clip, so only the content can help. The units
    (B, U, D) have length 1; ``weight`` is (B, U).
    """
    alike = one @ other.transpose(1, 2) / 0.1
    n_units = alike.shape[-1]
    distance = (torch.arange(n_units)[:, None] - torch.arange(n_units)).abs()
    alike = alike.masked_fill((distance > 0) & (distance < 3), -1e4)
    target = torch.arange(n_units).expand(len(alike), -1)
    lost = F.cross_entropy(alike.transpose(1, 2), target, reduction="none")
    return (lost * weight).sum() / weight.sum()
