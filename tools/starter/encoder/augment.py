"""Augmentation of copies of a piece: tempo, noise, masking, vocal tract length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tools.starter.phones import INDEX, VOWELS
from vencoder.ppg import N_MELS, relative_mel

LONGEST = 1.3  # most units of a piece for one of a clip
REFERENCE = 128  # frames of which the average is taken
_VOWELS = torch.tensor([INDEX[name] for name in VOWELS])


@dataclass(frozen=True, eq=False)
class Clip:
    """A stretch of a piece in K voices; it ends anywhere, as the input of a live conversion does."""

    mels: Tensor  # (K, 2 U, 80) log powers
    reference: Tensor  # (K, REFERENCE, 80), frames of a random part of the piece
    phones: Tensor  # (U,) classes
    teacher: Tensor  # (U, C)


def crop(mels: Tensor, phones: Tensor, teacher: Tensor, n_units: int, rng: np.random.Generator) -> Clip:
    """A random stretch of a piece, log powers (K, 2 U, 80), at another tempo.

    In a third of the cases vowels are held, as in singing. All copies are changed alike.
    """
    reach = min(len(phones), int(n_units * LONGEST) + 1)
    start = int(rng.integers(0, len(phones) - reach + 1))
    here = phones[start : start + reach].long()
    fastest = min(LONGEST, (reach - 1) / n_units)
    speed = np.full(reach, min(fastest, np.exp(rng.uniform(np.log(0.75), np.log(LONGEST)))))
    if rng.random() < 0.33:
        speed[torch.isin(here, _VOWELS).numpy()] *= rng.uniform(0.35, 0.8)
    # how much new time each unit takes, and so which old time is at each new one
    ends = np.append(0, np.cumsum(1 / speed))
    places = np.interp((np.arange(2 * n_units) + 0.5) / 2, ends, np.arange(reach + 1))
    middles = places.reshape(-1, 2).mean(1)
    labels = here[torch.from_numpy(middles.astype(np.int64).clip(0, reach - 1))]
    return Clip(
        _between(mels, 2 * (start + places) - 0.5),
        mels[:, _some_frames(mels.shape[1], rng)].float(),
        labels,
        _between(teacher[None], start + middles - 0.5)[0],
    )


def _between(values: Tensor, places: np.ndarray) -> Tensor:
    """Values (K, N, C), interpolated at ``places`` (N',) of the second axis, float32."""
    places = np.clip(places, 0, values.shape[1] - 1.001)
    below = torch.from_numpy(places.astype(np.int64))
    part = torch.from_numpy((places - below.numpy()).astype(np.float32))[:, None]
    return torch.lerp(values[:, below].float(), values[:, below + 1].float(), part)


def _some_frames(n_frames: int, rng: np.random.Generator) -> Tensor:
    """Frames (REFERENCE,) of a part of 2 s or more: averages of a clip and of a song differ."""
    length = min(n_frames, int(np.exp(rng.uniform(np.log(200), np.log(max(201, n_frames))))))
    start = int(rng.integers(0, n_frames - length + 1))
    return torch.from_numpy(start + np.sort(rng.integers(0, length, REFERENCE)))


def disturb(mel: Tensor, reference: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Input (B, N, 80) of the network from log powers (B, N, 80), and the frames' weights (B, N, 1).

    Warped, noisy and masked, and relative to the average of ``reference`` (B, R, 80).
    """
    n_batch, n_frames, _ = mel.shape
    both = torch.cat([mel, reference], 1)

    def uniform(low: float, high: float) -> Tensor:
        return torch.from_numpy(rng.uniform(low, high, (n_batch, 1, 1))).float()

    bands = torch.arange(N_MELS).float()
    places = (bands * uniform(-0.07, 0.07).exp()).clamp(max=N_MELS - 1.001)
    below = places.long().expand(-1, both.shape[1], -1)
    both = torch.lerp(both.gather(2, below), both.gather(2, below + 1), places - below)

    loud = both.exp().sum(2, keepdim=True).mean(1, keepdim=True).log() - np.log(N_MELS)
    noise = loud - uniform(10, 50) / 4.34 + uniform(-2, 2) * (bands / N_MELS - 0.5)
    # as powers of noise fall
    grain = torch.from_numpy(rng.standard_exponential(both.shape, np.float32)).clamp(min=1e-3).log()
    power = torch.logaddexp(both, noise + grain).exp()

    mel, weight = relative_mel(power[:, :n_frames], power[:, n_frames:])
    for axis, widest, n_all in ((2, 12, N_MELS), (1, 14, n_frames)):
        width = uniform(0, widest) * (uniform(0, 1) < 0.6)
        first = uniform(0, 1) * (n_all - width)
        index = torch.arange(n_all).view(1, 1, -1) if axis == 2 else torch.arange(n_all).view(1, -1, 1)
        mel = mel.masked_fill((index >= first) & (index < first + width), 0.0)
    return mel, weight
