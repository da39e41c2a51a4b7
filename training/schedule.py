"""The learning rate as a function of the step: nothing to save, nothing to restore."""

from __future__ import annotations

import math

from modules.config import TrainConfig

_COSINE_FLOOR = 0.02  # of the peak rate, at the end


def noam(step: int, factor: float, d_model: int, warmup_steps: int) -> float:
    """Return the rate in force during optimizer step ``step`` (1 is the first).

    Rises linearly for ``warmup_steps``, then falls with the square root of the
    step ("Attention Is All You Need", section 5.3).
    """
    return factor * d_model**-0.5 * min(step**-0.5, step * warmup_steps**-1.5)


def cosine(step: int, progress: float, peak: float, warmup_steps: int) -> float:
    """Return ``peak`` after a linear warm-up, on half a cosine down to 2 % at ``progress`` 1."""
    rise = min(1.0, step / warmup_steps)
    fall = 0.5 + 0.5 * math.cos(math.pi * min(1.0, progress))
    return peak * rise * (_COSINE_FLOOR + (1 - _COSINE_FLOOR) * fall)


def step_decay(step: int, first: float, decay_step: int, gamma: float) -> float:
    """Return ``first``, multiplied by ``gamma`` for every ``decay_step`` steps that were taken before."""
    return first * gamma ** ((step - 1) // decay_step)


def learning_rate(config: TrainConfig, d_model: int, step: int, progress: float) -> float:
    """Return the rate for optimizer step ``step``.

    Args:
        config: Chooses the schedule.
        d_model: Hidden channels of the model (noam).
        step: Number of this optimizer step, from 1.
        progress: Share of the whole training that is done, 0–1 (cosine).
    """
    if config.scheduler == "noam":
        return noam(step, config.learning_rate, d_model, config.warmup_steps)
    if config.scheduler == "step":
        return step_decay(step, config.learning_rate, config.decay_step, config.gamma)
    return cosine(step, progress, config.learning_rate, config.warmup_steps)
