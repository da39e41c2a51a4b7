"""Rectified flow: the network predicts the straight path from noise to mel (Liu et al., 2023).

At time t a mel x1 is (1 - t) · noise + t · x1, and the network learns the
velocity x1 - noise. Paths that are nearly straight need few strides: Euler or
RK4 sound finished after 4 to 20 evaluations.

In files the network is called ``decoder.velocity_fn``, with the tensors inside
as in ``decoder.denoise_fn`` of a diffusion model, and the only other ones are
``decoder.spec_min`` and ``decoder.spec_max``. A file of the other type is thus
refused by name.

Shallow: ``k_step`` of ``timesteps`` steps start at t = 1 - k_step / timesteps.
The same k_step noises a mel less than in Gaussian diffusion: 100 of 1000 is one
part of noise on nine of mel, there it is one on three.
"""

from __future__ import annotations

import torch
from torch import Tensor

from diffusion.config import DiffusionModelConfig
from diffusion.decoder import MelDecoder
from diffusion.samplers import SAMPLERS, check_method
from diffusion.samplers.base import Sampler
from diffusion.schedule import FlowSchedule


class ReFlow(MelDecoder):
    """Noise at time 0, mel at time 1.

    ``config.t_distribution`` is that of the training times: uniform, or
    logit_normal (Esser et al., 2024), which prefers the middle of the path,
    where the velocity is hardest to predict. A model that mostly refines mels sees
    the end only: leave it uniform, or set k_step_max, which both are scaled to.
    """

    network_name = "velocity_fn"

    def __init__(self, config: DiffusionModelConfig, n_mels: int) -> None:
        super().__init__(config, n_mels)
        self.time_scale = config.timesteps
        self._register_range()

    def draw_times(self, count: int, device: torch.device) -> Tensor:
        """Times in [0, 1] (count,), within the part of the path that is trained."""
        if self.config.t_distribution == "uniform":
            u = torch.rand(count, device=device)
        else:
            u = torch.randn(count, device=device).sigmoid()
        return 1 - (1 - u) * (self.config.max_steps / self.config.timesteps)

    def noised(self, x: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Normalised mels (B, M, N) between noise, at 0, and mel, at 1; ``t`` is (B,)."""
        share = t[:, None, None].to(x.dtype)
        return (1 - share) * noise + share * x

    def target(self, x: Tensor, noise: Tensor) -> Tensor:
        """The velocity."""
        return x - noise

    def sampler(self, method: str, speedup: int, k_step: int) -> Sampler:
        """See :meth:`MelDecoder.sampler`: ``k_step // speedup`` evaluations, whatever the method."""
        method = check_method(method, self.config.type)
        return SAMPLERS.build(method, FlowSchedule(self.config.timesteps, k_step), speedup)

    def start(self, mel: Tensor, noise: Tensor, k_step: int) -> Tensor:
        """See :meth:`MelDecoder.start`."""
        share = FlowSchedule(self.config.timesteps, k_step).start
        return (1 - share) * noise + share * mel
