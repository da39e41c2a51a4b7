"""The simplest integrator of a velocity: accurate where the flow is straight."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor

from diffusion.samplers.base import Draw, Predict, Sampler
from diffusion.schedule import FlowSchedule


class Euler(Sampler):
    """``n_steps // speedup`` equal strides, one evaluation each."""

    def __init__(self, path: FlowSchedule, speedup: int) -> None:
        self.grid = path.grid(max(1, path.n_steps // max(speedup, 1)))
        self.times = self.grid[:-1]

    def sample(self, predict: Predict, x: Tensor, draw: Draw) -> Tensor:
        """See :meth:`Sampler.sample`."""
        for now, then in pairwise(self.grid):
            x = x + (then - now) * predict(x, now)
        return x
