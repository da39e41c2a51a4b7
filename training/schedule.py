"""The learning rate as a function of the step: nothing to save, nothing to restore."""

from __future__ import annotations

import math

from modules.config import TrainConfig

_COSINE_FLOOR = 0.02  # of the peak rate, at the end


def noam(step: int, factor: float, d_model: int, warmup_steps: int) -> float:
    """Rate of optimizer step ``step`` (1 is the first).

    Rises linearly for ``warmup_steps``, then falls with the square root of the
    step ("Attention Is All You Need", section 5.3).
    """
    return factor * d_model**-0.5 * min(step**-0.5, step * warmup_steps**-1.5)


def learning_rate(config: TrainConfig, d_model: int, step: int, progress: float) -> float:
    """Rate of optimizer step ``step``.

    Args:
        config: Chooses the schedule: noam; step, which multiplies the rate by gamma
            after every decay_step steps; or cosine, which rises linearly and falls
            on half a cosine to 2 % of its peak.
        d_model: Hidden channels of the model (noam).
        step: Number of this optimizer step, from 1.
        progress: Share of the whole training that is done, 0–1 (cosine).
    """
    if config.scheduler == "noam":
        return noam(step, config.learning_rate, d_model, config.warmup_steps)
    if config.scheduler == "step":
        return config.learning_rate * config.gamma ** ((step - 1) // config.decay_step)
    rise = min(1.0, step / config.warmup_steps)
    fall = 0.5 + 0.5 * math.cos(math.pi * min(1.0, progress))
    return config.learning_rate * rise * (_COSINE_FLOOR + (1 - _COSINE_FLOOR) * fall)
