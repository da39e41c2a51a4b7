"""The normalizing flow between mel spectrograms and Gaussian noise (Kim et al., 2020, Glow-TTS).

Every step is invertible and knows its log-determinant, so the model is trained
on the exact likelihood of the mel and converts by running backwards. The steps
stay in float32 under autocast; only the WaveNets inside the couplings, where
the time goes, run in half precision.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

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
        # as if one more frame were off by 1: a handful of equal frames has no deviation to divide by
        variance = (((x - mean).square() * mask).sum((0, 2), keepdim=True) + 1) / (count + 1)
        self.logs.copy_(-0.5 * variance.log())
        self.bias.copy_(-mean * self.logs.exp())

    def forward(self, x: Tensor, mask: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``x`` (B, C, N) scaled and shifted, and log|det| (B,)."""
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
        """Return ``x`` (B, C, N) mixed, and log|det| (B,)."""
        # not logdet: training may turn the matrix over, and log of a negative is NaN
        logdet = torch.linalg.slogdet(self.weight).logabsdet * (x.size(1) // GROUPS)
        return self._mix(x, self.weight), logdet * mask.sum((1, 2))

    def inverse(self, z: Tensor, mask: Tensor, g: Tensor) -> Tensor:
        """Undo :meth:`forward`."""
        return self._mix(z, torch.linalg.inv(self.weight))


class AffineCoupling(nn.Module):
    """The first half of the channels decides how the second half is scaled and shifted.

    It starts as the identity.

    Args:
        channels: Channels of the squeezed mel, even.
        hidden_channels: C of the WaveNet.
        wavenet: May be shared with other couplings.
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
        """Return the transformed ``x`` (B, C, N), and log|det| (B,)."""
        kept, changed = x.chunk(2, 1)
        shift, logs = self._shift_and_logs(kept, mask, g)
        return torch.cat((kept, torch.addcmul(shift, changed, logs.exp())), 1), logs.sum((1, 2))

    def inverse(self, z: Tensor, mask: Tensor, g: Tensor) -> Tensor:
        """Undo :meth:`forward`."""
        kept, changed = z.chunk(2, 1)
        shift, logs = self._shift_and_logs(kept, mask, g)
        return torch.cat((kept, (changed - shift) * torch.exp(-logs)), 1)


class Flow(nn.Module):
    """``n_blocks`` times ActNorm, InvConvNear, AffineCoupling, on squeezed frames.

    Args:
        channels: M, mel bins.
        hidden_channels: C of the WaveNets.
        n_blocks: How often the three steps are repeated (``n_flow_block_layer``).
        n_layers: Layers of a WaveNet (``n_flow_layer``).
        gin_channels: Channels of the condition.
        n_sqz: Frames squeezed into one.
        share: All couplings use one WaveNet; its tensors then appear in the
            state dict once per coupling and once as ``wn``, as published.
        depthwise: See :class:`modules.nn.wavenet.WaveNet`.
    """

    def __init__(
        self,
        channels: int,
        hidden_channels: int,
        n_blocks: int,
        n_layers: int,
        gin_channels: int,
        n_sqz: int = 2,
        share: bool = False,
        depthwise: bool = False,
    ) -> None:
        super().__init__()
        self.n_sqz = n_sqz
        self.flows = nn.ModuleList()
        wavenet: WaveNet | None = None
        for _ in range(n_blocks):
            if wavenet is None or not share:
                wavenet = WaveNet(hidden_channels, n_layers, gin_channels, depthwise)
            self.flows.append(ActNorm(channels * n_sqz))
            self.flows.append(InvConvNear())
            self.flows.append(AffineCoupling(channels * n_sqz, hidden_channels, wavenet))
        if share and wavenet is not None:
            self.wn = wavenet

    def _squeezed(self, x: Tensor, mask: Tensor, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if g.size(2) > 1:
            g = g[:, :, :: self.n_sqz]
        return squeeze(x, self.n_sqz), mask[:, :, self.n_sqz - 1 :: self.n_sqz], g

    def forward(self, mel: Tensor, mask: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        """Return the latent of a mel.

        Args:
            mel: (B, M, N), N a multiple of ``n_sqz``.
            mask: (B, 1, N), 1 on real frames; lengths are multiples of ``n_sqz``.
            g: (B, gin_channels, 1 or N), the speaker.

        Returns:
            z (B, M, N), zero outside the mask, and log|det| (B,) in nats.
        """
        x, mask, g = self._squeezed(mel, mask, g)
        logdet = torch.zeros(len(x), device=x.device, dtype=x.dtype)
        for step in self.flows:
            x, change = step(x, mask, g)
            logdet = logdet + change
        return unsqueeze(x, self.n_sqz), logdet

    def inverse(self, z: Tensor, mask: Tensor, g: Tensor) -> Tensor:
        """Return the mel (B, M, N) of a latent; arguments as in :meth:`forward`."""
        x, mask, g = self._squeezed(z, mask, g)
        for step in reversed(self.flows):
            x = step.inverse(x, mask, g)  # type: ignore[operator]
        return unsqueeze(x, self.n_sqz)

    @torch.no_grad()
    def initialise(self, mel: Tensor, mask: Tensor, g: Tensor) -> None:
        """Set every ActNorm from a batch of real mels; arguments as in :meth:`forward`.

        The mels are dithered, only here. A band can be constant in one batch (a
        recording sampled at 22 050 Hz has nothing above 11 kHz) and not in the
        next; without dither its scale would be unbounded, and a floor under the
        deviation would not do, since every block amplifies again what the
        blocks before it left small.
        """
        noise = torch.randn(mel.shape, generator=torch.Generator().manual_seed(0))
        x, mask, g = self._squeezed(mel + DITHER * noise.to(mel), mask, g)
        for step in self.flows:
            if isinstance(step, ActNorm):
                step.initialise(x, mask)
            x, _ = step(x, mask, g)
