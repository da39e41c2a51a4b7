"""Rectified flow: the network predicts the straight way from noise to mel (Liu et al., 2023).

At time t a mel x1 is (1 - t) · noise + t · x1, and the network learns the
velocity x1 - noise. Ways that are nearly straight need few strides: Euler or
RK4 sound finished after 4 to 20 evaluations.

In files the network is called ``decoder.velocity_fn``, with the tensors inside
as in ``decoder.denoise_fn`` of a diffusion model; beside it are only
``decoder.spec_min`` and ``decoder.spec_max``. A file of the other type is thus
refused, by name.

Shallow: ``k_step`` of ``timesteps`` steps start at t = 1 - k_step / timesteps.
The same k_step noises a mel less than in Gaussian diffusion: 100 of 1000 is one
part of noise on nine of mel, there it is one on three.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from diffusion.config import DiffusionModelConfig
from diffusion.decoder import MelDecoder, build_sampler
from diffusion.samplers import check_method
from diffusion.samplers.base import Sampler
from diffusion.schedule import StraightPath


class ReFlow(MelDecoder):
    """Noise at time 0, mel at time 1.

    ``config.t_distribution`` says at which times it is trained: uniform, or
    logit_normal (Esser et al., 2024), which prefers the middle of the way,
    where the velocity is hardest to tell. A model that mostly refines mels sees
    the end only: leave it uniform, or set k_step_max, which both are scaled to.
    """

    def __init__(self, config: DiffusionModelConfig, n_mels: int) -> None:
        super().__init__(config, n_mels, "velocity_fn")
        self._register_range()

    def times(self, count: int, device: torch.device, generator: torch.Generator | None = None) -> Tensor:
        """Return ``count`` training times (count,), within the part of the way that is learnt."""
        if self.config.t_distribution == "uniform":
            u = torch.rand(count, generator=generator, device=device)
        else:
            u = torch.randn(count, generator=generator, device=device).sigmoid()
        return 1 - (1 - u) * (self.config.max_steps / self.config.timesteps)

    def forward(
        self,
        condition: Tensor,
        mel: Tensor,
        *,
        t: Tensor | None = None,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """See :meth:`MelDecoder.forward`; ``t`` are times in [0, 1]."""
        x = self.normalize(mel)
        if t is None:
            t = self.times(len(x), x.device, generator)
        if noise is None:
            noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        share = t[:, None, None].to(x.dtype)
        predicted = self.network((1 - share) * noise + share * x, t * self.config.timesteps, condition)
        return F.mse_loss(predicted.float(), (x - noise).float())

    def sampler(self, method: str, speedup: int, k_step: int) -> Sampler:
        """See :meth:`MelDecoder.sampler`: ``k_step // speedup`` evaluations, whatever the method."""
        method = check_method(method, self.config.type)
        return build_sampler(method, StraightPath(self.config.timesteps, k_step), speedup)

    def start(self, mel: Tensor, noise: Tensor, k_step: int) -> Tensor:
        """See :meth:`MelDecoder.start`."""
        share = StraightPath(self.config.timesteps, k_step).start
        return (1 - share) * noise + share * mel

    def embedded(self, t: float) -> float:
        """See :meth:`MelDecoder.embedded`: in steps, for the waves of its embedding are made for these."""
        return t * self.config.timesteps
