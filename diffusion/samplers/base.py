"""What all samplers have in common: when they evaluate the network, and the steps they take."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
from torch import Tensor

Predict = Callable[[Tensor, float], Tensor]  # state (B, M, N) and time -> noise or velocity (B, M, N)
Draw = Callable[[Tensor], Tensor]  # state -> standard normal noise of its shape, device and dtype


class Sampler(ABC):
    """A method with the steps it will take."""

    # of the evaluations, in order: diffusion counts in steps from noise (high) to mel (0), ReFlow
    # from noise (0) to mel (1)
    times: tuple[float, ...]

    @abstractmethod
    def sample(self, predict: Predict, x: Tensor, draw: Draw) -> Tensor:
        """Sample a normalised mel (B, M, N) from the start ``x``, as noisy as the schedule's last step is.

        ``predict``, the network, is evaluated at :attr:`times`; ``draw`` is for stochastic methods.
        """


def visits(n_steps: int, speedup: int) -> tuple[int, ...]:
    """Every ``speedup``-th step down to 0, as ddim and pndm visit them.

    As in the published project a start at the last step counts as the first
    step visited, up to ``speedup - 1`` below it. If no other were
    left, the last step is visited too.
    """
    steps = tuple(range(0, n_steps, max(speedup, 1)))[::-1]
    return (n_steps - 1, 0) if len(steps) == 1 < n_steps else steps


def time_grid(n_steps: int, speedup: int) -> tuple[float, ...]:
    """Ends of ``n_steps // speedup`` equal strides, one at least, from the last step to 0."""
    strides = max(1, n_steps // max(speedup, 1)) if n_steps > 1 else 0
    return tuple(float(t) for t in np.linspace(n_steps - 1, 0, strides + 1))
