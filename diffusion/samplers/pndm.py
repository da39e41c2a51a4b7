"""DDIM's strides along noise extrapolated from earlier predictions (PNDM, Liu et al., 2022)."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor

from diffusion.samplers.base import Draw, Predict, Sampler, visits
from diffusion.samplers.ddim import stride
from diffusion.schedule import NoiseSchedule

# linear multistep, by how many predictions there are; newest first
_ADAMS_BASHFORTH = (
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)


class Pndm(Sampler):
    """Keeps up to three predictions; the first stride is made twice, for a mean of two.

    Unless it is the only one: the mean of a prediction from noise and one from
    a mel fits neither, and from pure noise it ends far outside. That is DDIM.
    """

    def __init__(self, schedule: NoiseSchedule, speedup: int) -> None:
        self.schedule = schedule
        self.visits = visits(schedule.n_steps, speedup)
        evaluated = (*self.visits[:2], *self.visits[1:-1]) if len(self.visits) > 2 else self.visits[:-1]
        self.times = tuple(float(step) for step in evaluated)

    def sample(self, predict: Predict, x: Tensor, draw: Draw) -> Tensor:
        """See :meth:`Sampler.sample`."""
        known: list[Tensor] = []
        for now, then in pairwise(self.visits):
            known = [predict(x, float(now)), *known[:3]]
            if len(self.visits) == 2:
                noise = known[0]
            elif len(known) == 1:
                trial = stride(self.schedule, x, known[0], now, then)
                noise = (known[0] + predict(trial, float(then))) / 2
            else:
                factors = _ADAMS_BASHFORTH[len(known) - 2]
                noise = sum(
                    (f * n for f, n in zip(factors[1:], known[1:], strict=True)), factors[0] * known[0]
                )
            x = stride(self.schedule, x, noise, now, then)
        return x
