"""Gaussian diffusion: the network predicts the noise in a mel (DDPM, Ho et al., 2020).

This is the published model. The tables below follow from the number of steps
alone, and are nevertheless stored in its files.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from diffusion.config import DiffusionModelConfig
from diffusion.decoder import MelDecoder
from diffusion.samplers import SAMPLERS, check_method
from diffusion.samplers.base import Sampler
from diffusion.schedule import NoiseSchedule

_SAME_SCHEDULE = 1e-3  # relative; betas of a file in half precision are off by half of it


def _tables(schedule: NoiseSchedule) -> dict[str, np.ndarray]:
    """Published tables by name, (n_steps,) each."""
    betas, now = schedule.betas, schedule.alphas_cumprod
    before = np.append(1.0, now[:-1])
    variance = betas * (1 - before) / (1 - now)
    return {
        "betas": betas,
        "alphas_cumprod": now,
        "alphas_cumprod_prev": before,
        "sqrt_alphas_cumprod": np.sqrt(now),
        "sqrt_one_minus_alphas_cumprod": np.sqrt(1 - now),
        "log_one_minus_alphas_cumprod": np.log(1 - now),
        "sqrt_recip_alphas_cumprod": np.sqrt(1 / now),
        "sqrt_recipm1_alphas_cumprod": np.sqrt(1 / now - 1),
        "posterior_variance": variance,
        "posterior_log_variance_clipped": np.log(np.maximum(variance, 1e-20)),
        "posterior_mean_coef1": betas * np.sqrt(before) / (1 - now),
        "posterior_mean_coef2": (1 - before) * np.sqrt(1 - betas) / (1 - now),
    }


class GaussianDiffusion(MelDecoder):
    """The published decoder: ``denoise_fn``, the tables, and their schedule in float64.

    It is computed, unless the file that was loaded has another one.
    """

    network_name = "denoise_fn"
    betas: Tensor
    sqrt_alphas_cumprod: Tensor
    sqrt_one_minus_alphas_cumprod: Tensor

    def __init__(self, config: DiffusionModelConfig, n_mels: int) -> None:
        super().__init__(config, n_mels)
        self.schedule = NoiseSchedule.linear(config.timesteps)
        for name, values in _tables(self.schedule).items():
            self.register_buffer(name, torch.tensor(values.tolist(), dtype=torch.float32))
        self._register_range()
        self.register_load_state_dict_post_hook(self._follow_file)

    @staticmethod
    def _follow_file(module: nn.Module, _: Any) -> None:
        assert isinstance(module, GaussianDiffusion)
        if module.betas.is_meta:
            return
        betas = module.betas.cpu().double().numpy()  # MPS has no float64
        computed = NoiseSchedule.linear(module.config.timesteps)
        same = np.allclose(betas, computed.betas, rtol=_SAME_SCHEDULE, atol=0)
        module.schedule = computed if same else NoiseSchedule(betas)

    @property
    def rest(self) -> float:
        """See :attr:`MelDecoder.rest`: the betas are the same whatever their number."""
        return self.schedule.alpha(self.schedule.n_steps - 1)

    def draw_times(self, count: int, device: torch.device) -> Tensor:
        """Whole steps below ``config.max_steps``, int64 (count,)."""
        return torch.randint(self.config.max_steps, (count,), device=device)

    def noised(self, x: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Normalised mels (B, M, N) with the noise of steps ``t`` (B,), int64."""
        alpha = self.sqrt_alphas_cumprod[t][:, None, None]
        return alpha * x + self.sqrt_one_minus_alphas_cumprod[t][:, None, None] * noise

    def target(self, x: Tensor, noise: Tensor) -> Tensor:
        """The noise."""
        return noise

    def sampler(self, method: str, speedup: int, k_step: int) -> Sampler:
        """See :meth:`MelDecoder.sampler`; a ``speedup`` of 1 or less is ancestral sampling.

        A stride is never longer than the schedule: with ``k_step`` 5 and ``speedup``
        10 it is 5, and with ``k_step`` 1 the one step is an ancestral one.
        """
        method = check_method(method, self.config.type)
        speedup = min(speedup, k_step)
        return SAMPLERS.build(method if speedup > 1 else "ancestral", self.schedule.first(k_step), speedup)

    def start(self, mel: Tensor, noise: Tensor, k_step: int) -> Tensor:
        """See :meth:`MelDecoder.start`."""
        return self.noised(mel, torch.full((len(mel),), k_step - 1, device=mel.device), noise)
