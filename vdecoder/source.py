"""The sine source of the NSF vocoders: harmonics of F0, and noise where there is no F0.

The input of a neural source filter (Wang, Takaki and Yamagishi 2019). Phase is
kept in float64 from the first frame to the last: in float32 the upper harmonics
of a long note drift. The source is computed on the CPU, so that it is the same
on every device.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from vdecoder.draws import N_HARMONICS

AMPLITUDE = 0.1
NOISE = 0.003  # standard deviation in voiced frames; in unvoiced ones a third of AMPLITUDE
_BLOCK = 512  # frames computed at a time


class SineSource(nn.Module):
    """From F0 to excitation; one trained weight per harmonic, published as ``m_source.l_linear``."""

    def __init__(self) -> None:
        super().__init__()
        # no random initialization: the global generator belongs to the caller
        self.l_linear = nn.utils.skip_init(nn.Linear, N_HARMONICS, 1)

    def forward(
        self,
        f0: Tensor,
        hop_length: int,
        sampling_rate: int,
        phase: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        """Excitation (B, N * hop_length), float32, on the CPU.

        The published source adds noise to each harmonic before they are
        weighted and summed. Their sum is one noise, whose standard deviation is
        the norm of the weights: a ninth of the random numbers is enough.

        ``f0`` (B, N), Hz, 0 where unvoiced, is constant within a hop, as in the
        training of the published vocoders. ``phase`` (9,), float64, is that of the harmonics before
        the first sample, cycles, ``noise`` (B, N * hop_length) standard normal; both are 0 if not given.
        """
        initial = torch.zeros(N_HARMONICS, dtype=torch.float64) if phase is None else phase
        frames = f0.detach().cpu().double()
        excitation = torch.empty(len(f0), f0.shape[1] * hop_length)
        for block, sines in harmonics(frames, hop_length, sampling_rate, initial):
            samples = slice(block.start * hop_length, block.stop * hop_length)
            voiced = (frames[:, block] > 0).repeat_interleave(hop_length, 1)
            part = None if noise is None else noise[:, samples]
            excitation[:, samples] = self.mix(sines, voiced, part)
        return excitation

    def mix(self, sines: Tensor, voiced: Tensor, noise: Tensor | None) -> Tensor:
        """Sum the harmonics (B, T, 9) and the noise (B, T), standard normal, to the excitation (B, T)."""
        weight = self.l_linear.weight.detach().float().cpu()
        total = sines @ weight[0] + self.l_linear.bias.detach().float().cpu()
        if noise is not None:
            total += noise * weight.norm() * torch.where(voiced, NOISE, AMPLITUDE / 3)
        return total.tanh()


def harmonics(
    f0: Tensor, hop_length: int, sampling_rate: int, initial: Tensor
) -> Iterator[tuple[slice, Tensor]]:
    """Yield blocks of frames, and their sines (B, T of the block, 9), float32.

    The first sample is one step past the ``initial`` phase (9,), in cycles. Where
    ``f0`` (B, N), Hz, float64, is 0 the sines are 0, and the phase is constant.
    """
    step = f0 / sampling_rate  # cycles per sample
    begin = frame_phase(step, hop_length)
    for first in range(0, f0.shape[1], _BLOCK):
        block = slice(first, min(first + _BLOCK, f0.shape[1]))
        yield block, frame_sines(begin[:, block], step[:, block], hop_length, initial)


def frame_phase(step: Tensor, hop_length: int) -> Tensor:
    """Phase (B, N) of the fundamental before each frame, cycles, of its advance per sample (B, N)."""
    return torch.nn.functional.pad(step * hop_length, (1, 0)).cumsum(1)[:, :-1] % 1


def frame_sines(begin: Tensor, step: Tensor, hop_length: int, initial: Tensor) -> Tensor:
    """Harmonics (B, N * hop_length, 9), float32, of phase and advance (B, N), cycles, float64."""
    clock = torch.arange(1, hop_length + 1, dtype=torch.float64)
    order = torch.arange(1, N_HARMONICS + 1, dtype=torch.float64)
    phase = (begin.unsqueeze(2) + step.unsqueeze(2) * clock).flatten(1)
    cycles = torch.addcmul(initial, phase.unsqueeze(2), order)
    cycles -= cycles.floor()  # without whole cycles float32 is precise enough
    voiced = (step > 0).repeat_interleave(hop_length, 1).unsqueeze(2)
    return (cycles.float() * (2 * math.pi)).sin() * (AMPLITUDE * voiced)
