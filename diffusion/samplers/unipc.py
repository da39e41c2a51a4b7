"""Predictor-corrector: every step is corrected with the prediction made after it.

UniPC of order 2 (Zhao et al., 2023; the variant called bh2, on the clean mel).
The correction costs nothing: the prediction that it uses is the one that the
next step begins with.
"""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor

from diffusion.samplers.base import Draw, Predict, Sampler, time_grid
from diffusion.schedule import NoiseSchedule


def _corrector(h: float, ratio: float) -> tuple[float, float]:
    """Weights of the difference to the prediction before, and of that to the one after.

    ``h`` is the step, in half the log of the signal-to-noise ratio; ``ratio`` is the step before
    it over it, negative.
    """
    # moments of the exact solution, which the weighted differences have to meet
    grown = math.expm1(-h)
    first = grown / -h - 1
    moments = first / grown, 2 * (first / -h - 0.5) / grown
    before = (moments[1] - moments[0]) / (ratio - 1)
    return before, moments[0] - before


class UniPc(Sampler):
    """Multistep; the first and the last step are of order 1, and the last is not corrected."""

    def __init__(self, schedule: NoiseSchedule, speedup: int) -> None:
        self.schedule = schedule
        self.grid = time_grid(schedule.n_steps, speedup)
        self.times = self.grid[:-1]

    def sample(self, predict: Predict, x: Tensor, draw: Draw) -> Tensor:
        """See :meth:`Sampler.sample`."""
        if not self.times:
            return x
        schedule = self.schedule

        def clean(x: Tensor, t: float) -> Tensor:
            return (x - schedule.sigma(t) * predict(x, t)) / schedule.alpha(t)

        known = clean(x, self.grid[0])
        slope: Tensor | None = None  # of the clean mel, over the step before; scaled to the step at hand
        h_before = 0.0
        previous: Tensor | None = None
        for i, (now, then) in enumerate(pairwise(self.grid)):
            final = i == len(self.times) - 1
            h = schedule.half_log_snr(then) - schedule.half_log_snr(now)
            growth = schedule.alpha(then) * math.expm1(-h)
            base = schedule.sigma(then) / schedule.sigma(now) * x - growth * known
            slope = None if previous is None else (known - previous) * (h / h_before)
            x = base if slope is None or final else base - 0.5 * growth * slope
            if final:
                break
            after = clean(x, then)
            if slope is None:
                x = base - 0.5 * growth * (after - known)
            else:
                of_before, of_after = _corrector(h, -h_before / h)
                x = base - growth * (of_before * slope + of_after * (after - known))
            previous, known, h_before = known, after, h
        return x
