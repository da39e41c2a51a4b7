"""The normalizing flow between mel spectrograms and Gaussian noise (Kim et al., 2020, Glow-TTS).

Every step is invertible with a known log-determinant, so the model is trained
on the exact likelihood of the mel and converts by running backwards. The steps
stay in float32 under autocast; only the WaveNets inside the couplings, which
take most of the time, run in half precision.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from modules.config import ModelConfig
from modules.nn.wavenet import WaveNet

GROUPS = 4  # of the channel mixing, as published
DITHER = 0.3  # nats; see Flow.initialise


def squeeze(x: Tensor, n_sqz: int) -> Tensor:
    """Stack ``n_sqz`` neighbouring frames of ``x`` (B, M, N): (B, n_sqz * M, N / n_sqz)."""
    batch, channels, frames = x.shape
    grouped = x.view(batch, channels, frames // n_sqz, n_sqz).permute(0, 3, 1, 2)
    return grouped.reshape(batch, n_sqz * channels, frames // n_sqz)


def unsqueeze(x: Tensor, n_sqz: int) -> Tensor:
    """Undo :func:`squeeze`."""
    batch, channels, frames = x.shape
    grouped = x.view(batch, n_sqz, channels // n_sqz, frames).permute(0, 2, 3, 1)
    return grouped.reshape(batch, channels // n_sqz, frames * n_sqz)


class ActNorm(nn.Module):
    """A scale and a shift per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.logs = nn.Parameter(torch.zeros(1, channels, 1))
        self.bias = nn.Parameter(torch.zeros(1, channels, 1))

    @torch.no_grad()
    def initialise(self, x: Tensor, mask: Tensor) -> None:
        """Bring the real frames of ``x`` (B, C, N) to mean 0 and deviation 1 in every channel."""
        count = mask.sum()
        mean = (x * mask).sum((0, 2), keepdim=True) / count.clamp(min=1)
        # as if one more frame were off by 1: a few equal frames have no deviation to divide by
        variance = (((x - mean).square() * mask).sum((0, 2), keepdim=True) + 1) / (count + 1)
        self.logs.copy_(-0.5 * variance.log())
        self.bias.copy_(-mean * self.logs.exp())

    def forward(self, x: Tensor, mask: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        """``x`` (B, C, N) scaled and shifted, and log|det| (B,)."""
        return torch.addcmul(self.bias, x, self.logs.exp()) * mask, self.logs.sum() * mask.sum((1, 2))

    def inverse(self, z: Tensor, mask: Tensor, g: Tensor) -> Tensor:
        """Undo :meth:`forward`."""
        return (z - self.bias) * torch.exp(-self.logs) * mask


class InvConvNear(nn.Module):
    """One invertible 4 x 4 matrix that mixes the channels in groups of four.

    A group holds two neighbouring channels of the first half and the same two
    of the second half.
    """

    def __init__(self) -> None:
        super().__init__()
        rotation, _ = torch.linalg.qr(torch.randn(GROUPS, GROUPS))
        rotation[:, 0] *= torch.linalg.det(rotation)  # a reflection becomes a rotation
        self.weight = nn.Parameter(rotation)

    def _mix(self, x: Tensor, weight: Tensor) -> Tensor:
        batch, channels, frames = x.shape
        grouped = x.reshape(batch, 2, channels // GROUPS, 2, frames)
        with torch.autocast(x.device.type, enabled=False):
            mixed = torch.einsum("abcd,nckdt->nakbt", weight.view(2, 2, 2, 2), grouped)
        return mixed.reshape(batch, channels, frames)

    def forward(self, x: Tensor, mask: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        """``x`` (B, C, N) mixed, and log|det| (B,)."""
        # not logdet: in training the determinant may become negative, whose log is NaN
        logdet = torch.linalg.slogdet(self.weight).logabsdet * (x.size(1) // GROUPS)
        return self._mix(x, self.weight), logdet * mask.sum((1, 2))

    def inverse(self, z: Tensor, mask: Tensor, g: Tensor) -> Tensor:
        """Undo :meth:`forward`."""
        return self._mix(z, torch.linalg.inv(self.weight))


class AffineCoupling(nn.Module):
    """Scales and shifts the second half of the channels by what a WaveNet makes of the first.

    It starts as the identity. ``channels``, those of the squeezed mel, is even; ``wavenet``
    may be shared with other couplings.
    """

    def __init__(self, channels: int, hidden_channels: int, wavenet: WaveNet) -> None:
        super().__init__()
        self.pre = nn.Conv1d(channels // 2, hidden_channels, 1)
        self.enc = wavenet
        self.post = nn.Conv1d(hidden_channels, channels, 1)
        nn.init.zeros_(self.post.weight)
        nn.init.zeros_(self.post.bias)  # type: ignore[arg-type]

    def _shift_and_logs(self, kept: Tensor, mask: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.enc(self.pre(kept) * mask, mask, g)
        # the float32 mask also brings half precision back to float32
        shift, logs = (self.post(hidden) * mask).chunk(2, 1)
        return shift, logs

    def forward(self, x: Tensor, mask: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        """Transformed ``x`` (B, C, N), and log|det| (B,)."""
        kept, changed = x.chunk(2, 1)
        shift, logs = self._shift_and_logs(kept, mask, g)
        return torch.cat((kept, torch.addcmul(shift, changed, logs.exp())), 1), logs.sum((1, 2))

    def inverse(self, z: Tensor, mask: Tensor, g: Tensor) -> Tensor:
        """Undo :meth:`forward`."""
        kept, changed = z.chunk(2, 1)
        shift, logs = self._shift_and_logs(kept, mask, g)
        return torch.cat((kept, (changed - shift) * torch.exp(-logs)), 1)


class Flow(nn.Module):
    """``n_flow_block_layer`` times ActNorm, InvConvNear, AffineCoupling, on squeezed frames.

    With ``flow_share_parameter`` all couplings use one WaveNet; its tensors then appear in
    the state dict once per coupling and once as ``wn``, as published.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.n_sqz = config.n_sqz
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
        return squeeze(x, self.n_sqz), mask[:, :, self.n_sqz - 1 :: self.n_sqz], g

    def forward(self, mel: Tensor, mask: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        """Latent (B, M, N) of a mel, zero outside the mask, and log|det| (B,) in nats.

        Args:
            mel: (B, M, N), N a multiple of ``n_sqz``.
            mask: (B, 1, N), 1 on real frames; lengths are multiples of ``n_sqz``.
            g: (B, gin_channels, 1 or N), the speaker.
        """
        x, mask, g = self._squeezed(mel, mask, g)
        logdet = torch.zeros(len(x), device=x.device, dtype=x.dtype)
        for step in self.flows:
            x, change = step(x, mask, g)
            logdet = logdet + change
        return unsqueeze(x, self.n_sqz), logdet

    def inverse(self, z: Tensor, mask: Tensor, g: Tensor) -> Tensor:
        """Mel (B, M, N) of a latent; arguments as in :meth:`forward`."""
        x, mask, g = self._squeezed(z, mask, g)
        for step in reversed(self.flows):
            x = step.inverse(x, mask, g)  # type: ignore[operator]
        return unsqueeze(x, self.n_sqz)

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
