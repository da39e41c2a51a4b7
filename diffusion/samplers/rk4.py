"""The classical Runge-Kutta integrator: four evaluations per stride, worth it on a smooth flow."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor

from diffusion.samplers.base import Draw, Predict, Sampler
from diffusion.schedule import FlowSchedule

_COST = 4  # evaluations per stride


class RungeKutta4(Sampler):
    """As many equal strides as ``n_steps // speedup`` evaluations allow, one at least."""

    def __init__(self, path: FlowSchedule, speedup: int) -> None:
        self.grid = path.grid(max(1, path.n_steps // max(speedup, 1) // _COST))
        self.times = tuple(
            t for now, then in pairwise(self.grid) for t in (now, (now + then) / 2, (now + then) / 2, then)
        )

    def sample(self, predict: Predict, x: Tensor, draw: Draw) -> Tensor:
        """See :meth:`Sampler.sample`."""
        for now, then in pairwise(self.grid):
            h, middle = then - now, (now + then) / 2
            k1 = predict(x, now)
            k2 = predict(x + h / 2 * k1, middle)
            k3 = predict(x + h / 2 * k2, middle)
            k4 = predict(x + h * k3, then)
            x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return x
