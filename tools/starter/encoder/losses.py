"""What the units are trained for: the teacher's content, phones, and equality in all voices."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.common.device import cpu_has_bf16
from tools.starter.phones import INDEX, PHONES, SILENCE, UNKNOWN
from vencoder.ppg import DESIGNS, subtract_average

NAME = "ppg-starter2"
WEIGHTS = {
    "teacher": 1.0, "phones": 0.6, "around": 0.15, "alike": 0.7, "contrast": 0.15, "speaker": 1.0,
}  # fmt: skip
AROUND = 3  # units to the neighbouring phones
N_SPEAKERS = 640  # at most
_TEACHER = 512  # its channels
_HIDDEN = 256  # of the classifier of speakers
_FARTHEST = 5.0  # of the teacher's values, in standard deviations; a few channels have much larger ones


class Student(nn.Module):
    """The network, with the heads that only training needs."""

    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.network = DESIGNS[NAME].build()
        width = self.network.ssl_dim
        self.phones = nn.Linear(width, 3 * len(PHONES))
        self.teacher = nn.Linear(width, _TEACHER)
        self.speaker = nn.Sequential(nn.Linear(width, _HIDDEN), nn.GELU(), nn.Linear(_HIDDEN, N_SPEAKERS))
        self.register_buffer("deviation", torch.zeros(_TEACHER))  # of the teacher's channels


@dataclass(frozen=True, eq=False)
class Batch:
    """B clips, each in two voices: the rows b and B + b are of the same clip."""

    mel: Tensor  # (2 B, 2 U, 80)
    weight: Tensor  # (2 B, 2 U, 1)
    phones: Tensor  # (B, U)
    teacher: Tensor  # (B, U, C), relative to the speaker's mean
    speakers: Tensor  # (2 B,), UNKNOWN for all but originals
    rivals: Tensor  # (2 B, N_SPEAKERS), whether a speaker speaks the same language


def losses(student: Student, batch: Batch, adversary: float) -> dict[str, Tensor]:
    """The losses of a batch, by the keys of WEIGHTS, and the accuracy of the phones."""
    with torch.autocast("cpu", torch.bfloat16, enabled=cpu_has_bf16()):
        units = student.network(batch.mel)
        logits = student.phones(units).float()
        taught = student.teacher(units).float()
        relative = subtract_average(units.float(), batch.weight)
        guess = student.speaker(reverse_gradient(relative, adversary)).float()
    known = batch.phones.repeat(2, 1)
    before, here, after = logits.split(len(PHONES), -1)
    sounding = (batch.phones != INDEX[SILENCE]).float() + 0.2
    one, other = F.normalize(relative, dim=-1).chunk(2)
    result = {
        "teacher": distance(taught, batch.teacher.repeat(2, 1, 1) / student.deviation, sounding.repeat(2, 1)),
        "alike": 1 - (one * other).sum(-1).mean(),
        "contrast": contrast(one, other, sounding),
    }
    if (known != UNKNOWN).any():
        result["phones"] = _entropy(here, known)
        result["around"] = _entropy(before[:, AROUND:], known[:, :-AROUND])
        result["around"] = result["around"] + _entropy(after[:, :-AROUND], known[:, AROUND:])
        result["accuracy"] = (here.argmax(-1) == known)[known != UNKNOWN].float().mean()
    if (batch.speakers != UNKNOWN).any():
        # among those of the language: that it can be heard is no fault of the units
        guess = guess.masked_fill(~batch.rivals[:, None], -1e4)
        result["speaker"] = _entropy(guess, batch.speakers[:, None].expand(-1, guess.shape[1]), 0.0)
    return result


def _entropy(logits: Tensor, target: Tensor, smoothing: float = 0.1) -> Tensor:
    return F.cross_entropy(
        logits.flatten(0, 1), target.flatten(), ignore_index=UNKNOWN, label_smoothing=smoothing
    )


def distance(found: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """1 - cosine, and half the mean square, between (B, U, C) of variance 1; ``weight`` is (B, U)."""
    wanted = wanted.clamp(-_FARTHEST, _FARTHEST)
    apart = 1 - F.cosine_similarity(found, wanted, dim=-1) + 0.5 * (found - wanted).square().mean(-1)
    return (apart * weight).sum() / weight.sum()


def contrast(one: Tensor, other: Tensor, weight: Tensor) -> Tensor:
    """InfoNCE loss: cross-entropy of identifying each unit of a clip among those of the other copy.

    The voice is the same throughout a clip, so only the content can help. The units
    (B, U, D) have length 1; ``weight`` is (B, U).
    """
    alike = one @ other.transpose(1, 2) / 0.1
    n_units = alike.shape[-1]
    apart = (torch.arange(n_units)[:, None] - torch.arange(n_units)).abs()
    alike = alike.masked_fill((apart > 0) & (apart < 3), -1e4)
    target = torch.arange(n_units).expand(len(alike), -1)
    lost = F.cross_entropy(alike.transpose(1, 2), target, reduction="none")
    return (lost * weight).sum() / weight.sum()


def reverse_gradient(x: Tensor, weight: float) -> Tensor:
    """``x``, whose gradient is multiplied by -``weight`` (Ganin and Lempitsky, 2015)."""
    x = x.view_as(x)
    if x.requires_grad:
        x.register_hook(lambda gradient: -weight * gradient)
    return x
