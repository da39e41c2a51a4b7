"""Second-order multistep solvers in the time of the signal-to-noise ratio.

DPM-Solver extrapolates the predicted noise (Lu et al., 2022a), DPM-Solver++
the clean mel that it implies (2022b), which stays bounded where the noise of a
nearly clean mel is uncertain. Both keep one earlier prediction.
"""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor

from diffusion.samplers.base import Draw, Predict, Sampler, time_grid
from diffusion.schedule import NoiseSchedule

_FEW = 10  # steps; below, the last one is of order 1: so long a stride must not be extrapolated into the mel


class DpmSolver(Sampler):
    """Extrapolates the predicted noise."""

    def __init__(self, schedule: NoiseSchedule, speedup: int) -> None:
        self.schedule = schedule
        self.grid = time_grid(schedule.n_steps, speedup)
        self.times = self.grid[:-1]

    def sample(self, predict: Predict, x: Tensor, draw: Draw) -> Tensor:
        """See :meth:`Sampler.sample`."""
        before: tuple[Tensor, float] | None = None
        last = len(self.times) - 1
        for i, (now, then) in enumerate(pairwise(self.grid)):
            h = self.schedule.half_log_snr(then) - self.schedule.half_log_snr(now)
            known = self._known(x, predict(x, now), now)
            direction = known
            if before is not None and (i < last or len(self.times) >= _FEW):
                previous, h_before = before
                direction = known + (known - previous) * (0.5 * h / h_before)
            x = self._move(x, direction, now, then, h)
            before = known, h
        return x

    def _known(self, x: Tensor, noise: Tensor, t: float) -> Tensor:
        """Quantity that is extrapolated."""
        return noise

    def _move(self, x: Tensor, noise: Tensor, now: float, then: float, h: float) -> Tensor:
        """``x`` at ``then``, ``h`` later in half the log of the signal-to-noise ratio."""
        ratio = self.schedule.alpha(then) / self.schedule.alpha(now)
        return ratio * x - (self.schedule.sigma(then) * math.expm1(h)) * noise


class DpmSolverPlusPlus(DpmSolver):
    """Extrapolates the clean mel."""

    def _known(self, x: Tensor, noise: Tensor, t: float) -> Tensor:
        return (x - self.schedule.sigma(t) * noise) / self.schedule.alpha(t)

    def _move(self, x: Tensor, clean: Tensor, now: float, then: float, h: float) -> Tensor:
        ratio = self.schedule.sigma(then) / self.schedule.sigma(now)
        return ratio * x - (self.schedule.alpha(then) * math.expm1(-h)) * clean
