"""The plain sampler: every step, each with new noise (DDPM, Ho et al., 2020)."""

from __future__ import annotations

from torch import Tensor

from diffusion.samplers.base import Draw, Predict, Sampler
from diffusion.schedule import NoiseSchedule


class Ancestral(Sampler):
    """One step at a time; the estimate of the clean mel is clipped to -1 to 1."""

    def __init__(self, schedule: NoiseSchedule, speedup: int = 1) -> None:
        self.schedule = schedule
        self.times = tuple(float(step) for step in reversed(range(schedule.n_steps)))

    def sample(self, predict: Predict, x: Tensor, draw: Draw) -> Tensor:
        """See :meth:`Sampler.sample`."""
        for t in self.times:
            alpha, sigma = self.schedule.alpha(t), self.schedule.sigma(t)
            clean = ((x - sigma * predict(x, t)) / alpha).clamp(-1, 1)
            of_clean, of_noised, deviation = self.schedule.posterior(int(t))
            x = of_clean * clean + of_noised * x
            if deviation:
                x = x + deviation * draw(x)
        return x
