"""What Gaussian diffusion and rectified flow share: the network, its range of mels, and where to start.

A decoder works on mels normalised from -12..2 (natural log) to -1..1, and
counts in steps: ``k_step`` of them from noise to mel, all of them or, for
shallow diffusion, the last ones, from a mel that has been noised.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffusion.config import DiffusionModelConfig
from diffusion.denoiser import Denoiser
from diffusion.samplers.base import Draw, Sampler
from modules.common.errors import ConfigError

_LARGEST_REST = 0.1  # as of 450 steps; of 1000 it is 0.006
MEL_MIN, MEL_MAX = -12.0, 2.0  # natural log; the published range
Progress = Callable[[int, int], Any]  # evaluations done, and of how many

logger = logging.getLogger(__name__)


class MelDecoder(nn.Module, ABC):
    """A network evaluated on noised mels, and what its predictions mean."""

    network_name: str  # among the model's tensors
    time_scale = 1  # steps per unit of a sampler's time; the network's time is in steps
    spec_min: Tensor
    spec_max: Tensor

    def __init__(self, config: DiffusionModelConfig, n_mels: int) -> None:
        super().__init__()
        self.config = config
        network = Denoiser(n_mels, config.n_layers, config.n_chans, config.n_hidden)
        self.add_module(self.network_name, network)

    def _register_range(self) -> None:
        """Register the range of mels; last, as in the published files."""
        self.register_buffer("spec_min", torch.full((1, 1, 1), MEL_MIN))
        self.register_buffer("spec_max", torch.full((1, 1, 1), MEL_MAX))

    @property
    def network(self) -> Denoiser:
        """The network itself."""
        return self.get_submodule(self.network_name)  # type: ignore[return-value]

    def normalize(self, mel: Tensor) -> Tensor:
        """A mel (B, M, N), natural log, scaled so that its usual range is -1 to 1; nothing is clipped."""
        return (mel - self.spec_min) / (self.spec_max - self.spec_min) * 2 - 1

    def denormalize(self, x: Tensor) -> Tensor:
        """Undo :meth:`normalize`."""
        return (x + 1) / 2 * (self.spec_max - self.spec_min) + self.spec_min

    @abstractmethod
    def draw_times(self, count: int, device: torch.device) -> Tensor:
        """Training times (count,), within the steps that are trained."""

    @abstractmethod
    def noised(self, x: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Normalised mels (B, M, N) with noise (B, M, N) at times ``t`` (B,)."""

    @abstractmethod
    def target(self, x: Tensor, noise: Tensor) -> Tensor:
        """The prediction (B, M, N) that the network is trained on."""

    @abstractmethod
    def sampler(self, method: str, speedup: int, k_step: int) -> Sampler:
        """Build the sampler ``method`` for the last ``k_step`` steps."""

    @abstractmethod
    def start(self, mel: Tensor, noise: Tensor, k_step: int) -> Tensor:
        """A normalised mel (B, M, N), noised as it is ``k_step`` steps before the end."""

    @property
    def rest(self) -> float:
        """Factor of the mel at the step where sampling from noise alone begins; 0 is what it assumes."""
        return 0.0

    def check_full_range(self) -> None:
        """Warn if sampling from noise alone cannot work, since the schedule does not end in noise."""
        if not self.config.shallow_only and self.rest > _LARGEST_REST:
            logger.warning(
                "model.timesteps %d: with so few steps %.0f %% of the mel is left in the noisiest one, so "
                "-od, which begins from noise alone, gives wild mels; use shallow diffusion (-shd), or train "
                "with 1000",
                self.config.timesteps,
                100 * self.rest,
            )

    def forward(
        self, condition: Tensor, mel: Tensor, *, t: Tensor | None = None, noise: Tensor | None = None
    ) -> Tensor:
        """Training loss, a scalar: the mean squared error of the prediction.

        Args:
            condition: (B, H, N).
            mel: (B, M, N), natural log.
            t: (B,), instead of drawing them: steps, int64, or in [0, 1] for rectified flow.
            noise: (B, M, N), standard normal, instead of drawing it.
        """
        x = self.normalize(mel)
        if t is None:
            t = self.draw_times(len(x), x.device)
        if noise is None:
            noise = torch.randn(x.shape, device=x.device, dtype=x.dtype)
        predicted = self.network(self.noised(x, t, noise), t * self.time_scale, condition)
        return F.mse_loss(predicted.float(), self.target(x, noise).float())

    def steps(self, k_step: int | None, shallow: bool) -> int:
        """Steps to sample: ``k_step``, or all that the model is trained for.

        ``shallow``: whether there is a mel to start from.

        Raises:
            ConfigError: The model cannot do that; names what it can.
        """
        limit, timesteps = self.config.max_steps, self.config.timesteps
        if not shallow and self.config.shallow_only:
            raise ConfigError(
                f"this model is trained for the last {limit} of {timesteps} steps (model.k_step_max) and can "
                f"only refine a mel: use shallow diffusion with k_step {limit} or less, or a model that is "
                "trained with k_step_max 0"
            )
        if k_step is None:
            return limit
        if k_step < 1:
            raise ConfigError(f"k_step is {k_step}; use 1 to {limit}, or turn shallow diffusion off")
        if k_step > limit:
            reason = "model.k_step_max" if self.config.shallow_only else "model.timesteps"
            raise ConfigError(
                f"k_step is {k_step}, but the model is trained for {limit} steps ({reason}): "
                f"use {limit} or less"
            )
        if not shallow and k_step < timesteps:
            raise ConfigError(
                f"k_step {k_step} is for shallow diffusion, which starts from a mel, and there is none: "
                "give one, or leave k_step out"
            )
        return k_step

    def sample(
        self,
        condition: Tensor,
        *,
        method: str,
        speedup: int,
        noise: Tensor,
        draw: Draw,
        mel: Tensor | None = None,
        k_step: int | None = None,
        progress: Progress | None = None,
    ) -> Tensor:
        """Sample a mel (B, M, N), natural log; it is not clipped.

        ``condition`` is (B, H, N). ``noise`` is the start, or what ``mel`` is noised with; ``draw``
        gives a stochastic method more. The rest is as for :meth:`diffusion.unit2mel.Unit2Mel.infer`.

        Raises:
            ConfigError: See :meth:`steps`; unknown method.
        """
        count = self.steps(k_step, mel is not None)
        x = noise if mel is None else self.start(self.normalize(mel), noise, count)
        return self.run(self.sampler(method, speedup, count), condition, x, draw, progress)

    def run(
        self, sampler: Sampler, condition: Tensor, x: Tensor, draw: Draw, progress: Progress | None = None
    ) -> Tensor:
        """Mel (B, M, N), natural log, that ``sampler`` makes of the start ``x`` (B, M, N)."""
        done = 0
        projected = list(self.network.project(condition))

        def predict(x: Tensor, t: float) -> Tensor:
            nonlocal done
            times = torch.full((len(x),), t * self.time_scale, device=x.device)
            # the network may predict in half precision; the steps are summed in the start's own
            predicted = self.network(x, times, projected).to(x.dtype)
            done += 1
            if progress is not None:
                progress(done, len(sampler.times))
            return predicted

        return self.denormalize(sampler.sample(predict, x, draw))
