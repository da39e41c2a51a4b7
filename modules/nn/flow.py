"""The normalizing flow between mel spectrograms and Gaussian noise (Kim et al., 2020, Glow-TTS).

Every step is invertible with a known log-determinant, so the model is trained
on the exact likelihood of the mel and converts by running backwards. The steps
stay in float32 under autocast; only the WaveNets inside the couplings, which
take most of the time, run in half precision.
"""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor, nn

from modules.config import ModelConfig
from modules.nn.block_weights import block_weights, log_volume
from modules.nn.flow_step import FlowStep
from modules.nn.frames import FrameConv, convolve
from modules.nn.quarters import GROUPS, from_quarters, sort_channels, to_quarters
from modules.nn.wavenet import WaveNet

DITHER = 0.3  # nats; see Flow.initialise


class ActNorm(nn.Module):
    """A scale and a shift per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.logs = nn.Parameter(torch.zeros(1, channels, 1))
        self.bias = nn.Parameter(torch.zeros(1, channels, 1))

    def _parameters_of_quarters(self) -> tuple[Tensor, Tensor]:
        """Log scale and bias (4, 1, 1, K)."""
        logs, bias = (sort_channels(x.flatten(), 2).view(GROUPS, 1, 1, -1) for x in (self.logs, self.bias))
        return logs, bias

    @torch.no_grad()
    def initialise(self, x: Tensor, mask: Tensor) -> None:
        """Bring the real frames of ``x`` (4, B, N, K) to mean 0 and deviation 1 in every channel."""
        count = mask.sum()
        mean = (x * mask).sum((1, 2), keepdim=True) / count.clamp(min=1)
        # as if one more frame were off by 1: a few equal frames have no deviation to divide by
        variance = (((x - mean).square() * mask).sum((1, 2), keepdim=True) + 1) / (count + 1)
        logs = -0.5 * variance.log()
        for parameter, values in ((self.logs, logs), (self.bias, -mean * logs.exp())):
            channels = values.view(2, 2, -1).transpose(1, 2)
            parameter.copy_(channels.reshape(parameter.shape))

    def forward(self, x: Tensor, mask: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        """``x`` (4, B, N, K) scaled and shifted, and log|det| (B,)."""
        logs, bias = self._parameters_of_quarters()
        return torch.addcmul(bias, x, logs.exp()), self.logs.sum() * mask.sum((1, 2))

    def inverse(self, z: Tensor, mask: Tensor, g: Tensor) -> Tensor:
        """Undo :meth:`forward`."""
        logs, bias = self._parameters_of_quarters()
        return (z - bias) * torch.exp(-logs)


class InvConvNear(nn.Module):
    """One invertible 4 x 4 matrix that mixes the channels in groups of four."""

    def __init__(self) -> None:
        super().__init__()
        rotation, _ = torch.linalg.qr(torch.randn(GROUPS, GROUPS))
        rotation[:, 0] *= torch.linalg.det(rotation)  # a reflection becomes a rotation
        self.weight = nn.Parameter(rotation)
        self._inverse: Tensor | None = None  # of the weight, if that does not change any more

    def freeze(self) -> None:
        """Compute once what :meth:`inverse` needs."""
        self._inverse = torch.linalg.inv(self.weight)

    @staticmethod
    def mix(x: Tensor, weight: Tensor) -> Tensor:
        """``x`` (4, B, N, K) mixed by ``weight`` (4, 4)."""
        with torch.autocast(x.device.type, enabled=False):
            return (weight @ x.flatten(1)).view_as(x)

    def forward(self, x: Tensor, mask: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        """``x`` (4, B, N, K) mixed, and log|det| (B,)."""
        # not logdet: in training the determinant may become negative, whose log is NaN
        logdet = torch.linalg.slogdet(self.weight).logabsdet * x.size(3)
        return self.mix(x, self.weight), logdet * mask.sum((1, 2))

    def inverse(self, z: Tensor, mask: Tensor, g: Tensor) -> Tensor:
        """Undo :meth:`forward`."""
        return self.mix(z, torch.linalg.inv(self.weight) if self._inverse is None else self._inverse)


class AffineCoupling(nn.Module):
    """Scales and shifts the second half of the channels by what a WaveNet makes of the first.

    It starts as the identity. ``channels``, those of the squeezed mel, is even; ``wavenet``
    may be shared with other couplings.
    """

    def __init__(self, channels: int, hidden_channels: int, wavenet: WaveNet) -> None:
        super().__init__()
        self.pre = FrameConv(channels // 2, hidden_channels, 1)
        self.enc = wavenet
        self.post = FrameConv(hidden_channels, channels, 1)
        nn.init.zeros_(self.post.weight)
        nn.init.zeros_(self.post.bias)  # type: ignore[arg-type]
        self._sorted: tuple[Tensor, Tensor, Tensor] | None = None  # see _ends

    def freeze(self) -> None:
        """Sort the channels once."""
        self._sorted = self._ends()

    def _ends(self) -> tuple[Tensor, Tensor, Tensor]:
        """Kernels of the first convolution, kernels and bias of the last, in the order of the quarters."""
        if self._sorted:
            return self._sorted
        assert self.post.bias is not None
        pre = sort_channels(self.pre.weight.transpose(0, 1), 1).transpose(0, 1)
        return pre, sort_channels(self.post.weight, 2), sort_channels(self.post.bias, 2)

    def _shift_and_logs(self, kept: Tensor, mask: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        """Shift and log scale (2, B, N, K) of the second half, from the first, ``kept``."""
        channels = kept.permute(1, 2, 0, 3).flatten(2)
        pre, post, post_bias = self._ends()
        hidden = convolve(channels, pre, self.pre.bias, 0)
        mask_of_hidden = mask.to(hidden.dtype)
        hidden = self.enc(hidden * mask_of_hidden, mask_of_hidden, g)
        out = convolve(hidden, post, post_bias, 0)
        shift, logs = out.to(kept.dtype).unflatten(2, (2, 2, -1)).permute(2, 3, 0, 1, 4)
        return shift, logs * mask

    def forward(self, x: Tensor, mask: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        """Transformed ``x`` (4, B, N, K), and log|det| (B,)."""
        kept, changed = x.chunk(2)
        shift, logs = self._shift_and_logs(kept, mask, g)
        return torch.cat((kept, torch.addcmul(shift, changed, logs.exp()))), logs.sum((0, 2, 3))

    def inverse(self, z: Tensor, mask: Tensor, g: Tensor) -> Tensor:
        """Undo :meth:`forward`."""
        kept, changed = z.chunk(2)
        shift, logs = self._shift_and_logs(kept, mask, g)
        return torch.cat((kept, (changed - shift) * torch.exp(-logs)))


Block: TypeAlias = tuple[ActNorm, InvConvNear, AffineCoupling]


class Flow(nn.Module):
    """``n_flow_block_layer`` times ActNorm, InvConvNear, AffineCoupling, on squeezed frames.

    With ``flow_share_parameter`` all couplings use one WaveNet; its tensors then appear in
    the state dict once per coupling and once as ``wn``, as published.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.n_sqz, self.depthwise = config.n_sqz, config.use_depthwise_conv
        self.flows = nn.ModuleList()
        channels, hidden = config.inter_channels * config.n_sqz, config.hidden_channels
        wavenet: WaveNet | None = None
        for _ in range(config.n_flow_block_layer):
            if wavenet is None or not config.flow_share_parameter:
                wavenet = WaveNet(hidden, config.n_flow_layer, config.gin_channels, config.use_depthwise_conv)
            self.flows.append(ActNorm(channels))
            self.flows.append(InvConvNear())
            self.flows.append(AffineCoupling(channels, hidden, wavenet))
        if config.flow_share_parameter and wavenet is not None:
            self.wn = wavenet

    def _squeezed(self, x: Tensor, mask: Tensor, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if g.size(2) > 1:
            g = g[:, :, :: self.n_sqz]
        if mask.size(2) > 1:
            mask = mask[:, :, self.n_sqz - 1 :: self.n_sqz]
        return to_quarters(x, self.n_sqz), mask.mT, g.mT

    def forward(self, mel: Tensor, mask: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        """Latent (B, M, N) of a mel, zero outside the mask, and log|det| (B,) in nats.

        Args:
            mel: (B, M, N), N a multiple of ``n_sqz``.
            mask: (B, 1, N), 1 on real frames; lengths are multiples of ``n_sqz``.
            g: (B, gin_channels, 1 or N), the speaker.
        """
        x, real, g = self._squeezed(mel, mask, g)
        if torch.is_grad_enabled() and self._in_one_operator(x):
            x, logdet = self._forward_in_training(x, real, g)
            return from_quarters(x, self.n_sqz) * mask, logdet
        logdet = torch.zeros(len(mel), device=x.device, dtype=x.dtype)
        for step in self.flows:
            x, change = step(x, real, g)
            logdet = logdet + change
        return from_quarters(x, self.n_sqz) * mask, logdet

    def _in_one_operator(self, x: Tensor) -> bool:
        """Whether :class:`FlowStep` computes the blocks: on MPS see frames.py, and it is not depthwise."""
        return x.device.type != "mps" and not self.depthwise

    def _forward_in_training(self, x: Tensor, mask: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        """All steps on ``x`` (4, B, N, K), and log|det| (B,); the same as step by step, and faster."""
        flows, device = [*self.flows], x.device.type
        blocks = [*zip(flows[::3], flows[1::3], flows[2::3], strict=True)]
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        with torch.autocast(device, enabled=False):
            logdet = log_volume(blocks) * mask.sum((1, 2))
            for weights in block_weights(blocks, g, dtype):
                x, change = FlowStep.apply(x, mask, *weights)
                logdet = logdet + change
        return x, logdet

    def inverse(self, z: Tensor, mask: Tensor, g: Tensor) -> Tensor:
        """Mel (B, M, N) of a latent; as :meth:`forward`, but the mask may be one frame for all."""
        x, real, g = self._squeezed(z, mask, g)
        for step in reversed(self.flows):
            x = step.inverse(x, real, g)  # type: ignore[operator]
        return from_quarters(x, self.n_sqz) * mask

    @torch.no_grad()
    def initialise(self, mel: Tensor, mask: Tensor, g: Tensor) -> None:
        """Set every ActNorm from a batch of real mels; arguments as in :meth:`forward`.

        The mels are dithered, only here. A band can be constant in one batch (a
        recording sampled at 22 050 Hz has nothing above 11 kHz) and not in the
        next; without dither its scale would be unbounded. A floor under the
        deviation is not enough, since each block amplifies what earlier ones left small.
        """
        noise = torch.randn(mel.shape, generator=torch.Generator().manual_seed(0))
        x, mask, g = self._squeezed(mel + DITHER * noise.to(mel), mask, g)
        for step in self.flows:
            if isinstance(step, ActNorm):
                step.initialise(x, mask)
            x, _ = step(x, mask, g)
