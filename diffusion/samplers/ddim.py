"""Deterministic strides along the predicted noise (DDIM, Song et al., 2021)."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor

from diffusion.samplers.base import Draw, Predict, Sampler, visits
from diffusion.schedule import NoiseSchedule


def stride(schedule: NoiseSchedule, x: Tensor, noise: Tensor, now: float, then: float) -> Tensor:
    """``x`` (B, M, N), which holds ``noise``, moved from one time to another."""
    ratio = schedule.alpha(then) / schedule.alpha(now)
    return ratio * x + (schedule.sigma(then) - ratio * schedule.sigma(now)) * noise


class Ddim(Sampler):
    """One evaluation per stride; the published one also evaluates at step 0, to no effect."""

    def __init__(self, schedule: NoiseSchedule, speedup: int) -> None:
        self.schedule = schedule
        self.visits = visits(schedule.n_steps, speedup)
        self.times = tuple(float(step) for step in self.visits[:-1])

    def sample(self, predict: Predict, x: Tensor, draw: Draw) -> Tensor:
        """See :meth:`Sampler.sample`."""
        for now, then in pairwise(self.visits):
            x = stride(self.schedule, x, predict(x, float(now)), now, then)
        return x
