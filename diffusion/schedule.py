"""Noise schedules, which all samplers share.

A noised mel is alpha · mel + sigma · noise with alpha² + sigma² = 1. The
network is trained at whole steps 0 (hardly any noise) to n_steps - 1; solvers
also evaluate it between them. All of it is float64 and on the CPU: a product of
a thousand numbers near 1 leaves little of a float32.
"""

from __future__ import annotations

import math

import numpy as np

BETA_FIRST, BETA_LAST = 1e-4, 0.02


class NoiseSchedule:
    """Variances ``betas`` (n_steps,), in (0, 1), of the noise that each step adds; what follows from them."""

    def __init__(self, betas: np.ndarray) -> None:
        self.betas = np.asarray(betas, np.float64)
        self.alphas_cumprod = np.cumprod(1.0 - self.betas)
        self._log_alphas = 0.5 * np.cumsum(np.log1p(-self.betas))

    @classmethod
    def linear(cls, n_steps: int) -> NoiseSchedule:
        """Published schedule: betas from 1e-4 to 0.02, however many."""
        return cls(np.linspace(BETA_FIRST, BETA_LAST, n_steps))

    @property
    def n_steps(self) -> int:
        """Number of whole steps."""
        return len(self.betas)

    def first(self, k_step: int) -> NoiseSchedule:
        """Part with the least noise, which shallow diffusion runs through."""
        return NoiseSchedule(self.betas[:k_step])

    def log_alpha(self, t: float) -> float:
        """Natural log of alpha at time ``t``, in steps; linear between whole ones."""
        return float(np.interp(t, np.arange(self.n_steps), self._log_alphas))

    def alpha(self, t: float) -> float:
        """Factor of the mel at time ``t``."""
        return math.exp(self.log_alpha(t))

    def sigma(self, t: float) -> float:
        """Deviation of the noise at time ``t``."""
        return math.sqrt(-math.expm1(2 * self.log_alpha(t)))

    def half_log_snr(self, t: float) -> float:
        """ln(alpha / sigma), in which the solvers' polynomials are simple."""
        return self.log_alpha(t) - math.log(self.sigma(t))

    def posterior(self, step: int) -> tuple[float, float, float]:
        """Step ``step`` - 1, given the clean mel and step ``step`` (Ho et al., 2020, eq. 7).

        The factors of both, clean mel first, and the deviation of the noise that is drawn.
        """
        now = self.alphas_cumprod[step]
        before = self.alphas_cumprod[step - 1] if step else 1.0
        beta = self.betas[step]
        clean = beta * math.sqrt(before) / (1 - now)
        noised = (1 - before) * math.sqrt(1 - beta) / (1 - now)
        return float(clean), float(noised), math.sqrt(beta * (1 - before) / (1 - now))


class FlowSchedule:
    """Schedule of rectified flow: the line from noise, t = 0, to mel, t = 1.

    Of its ``timesteps`` the last ``k_step`` are sampled.
    """

    def __init__(self, timesteps: int, k_step: int) -> None:
        self.n_steps = k_step
        self.start = 1 - k_step / timesteps

    def grid(self, strides: int) -> tuple[float, ...]:
        """Ends of ``strides`` equal strides from the start to 1."""
        return tuple(float(t) for t in np.linspace(self.start, 1, strides + 1))
