"""The published computation of the Glow model, as a plain reference for the benchmarks.

It follows the published order of operations (tests/golden/glow_train/manifest.json, which a
test holds it to) with torch's layers as they are: tensors (B, C, N), one-dimensional
convolutions, kernels from weight norm at each call, a mask after each step. The F0 decoder
runs, but is in no loss, and lengths are rounded down to whole groups of ``n_sqz`` frames.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.training.plain_transformer import PlainConv, PlainTransformer
from models import GlowSVC
from modules.config import ModelConfig
from modules.dsp.f0 import F0_BINS, f0_to_coarse, hz_to_lf0, normalize_lf0
from modules.nn.masks import length_mask
from modules.nn.quarters import GROUPS
from modules.nn.wavenet import KERNEL_SIZE


class PlainWeightNormConv(nn.Module):
    """Convolution whose kernels are computed from length and direction at each call."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.weight_g = nn.Parameter(torch.ones(out_channels, 1, 1))
        self.weight_v = nn.Parameter(torch.zeros(out_channels, in_channels, kernel_size))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C', N) from ``x`` (B, C, N)."""
        weight = torch._weight_norm(self.weight_v, self.weight_g, 0)
        return F.conv1d(x, weight, self.bias, padding=weight.size(2) // 2)


class PlainTextEncoder(nn.Module):
    """From embedded units and F0 to the prior."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.proj = PlainConv(config.hidden_channels, 2 * config.inter_channels, 1)
        self.f0_emb = nn.Embedding(F0_BINS, config.hidden_channels)
        self.enc_ = PlainTransformer(config, causal=False)

    def forward(self, x: Tensor, f0: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log deviation (B, M, N)."""
        x = self.enc_((x + self.f0_emb(f0_to_coarse(f0)).transpose(1, 2)) * mask, mask)
        m_p, logs_p = (self.proj(x) * mask).chunk(2, 1)
        return m_p, logs_p


class PlainF0Decoder(nn.Module):
    """Automatic F0 prediction."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels = config.hidden_channels
        self.prenet = PlainConv(channels, channels, 3)
        self.decoder = PlainTransformer(config, causal=True)
        self.proj = PlainConv(channels, 1, 1)
        self.f0_prenet = PlainConv(1, channels, 3)
        self.cond = PlainConv(config.gin_channels, channels, 1)

    def forward(self, x: Tensor, norm_lf0: Tensor, mask: Tensor, g: Tensor) -> Tensor:
        """Log F0 (B, 1, N)."""
        x = x.detach() + self.cond(g) + self.f0_prenet(norm_lf0)
        return self.proj(self.decoder(self.prenet(x) * mask, mask)) * mask


class PlainActNorm(nn.Module):
    """A scale and a shift per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.logs = nn.Parameter(torch.zeros(1, channels, 1))
        self.bias = nn.Parameter(torch.zeros(1, channels, 1))

    def forward(self, x: Tensor, mask: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        """Transformed ``x`` (B, C, N) and log|det| (B,)."""
        return (self.bias + self.logs.exp() * x) * mask, self.logs.sum() * mask.sum((1, 2))

    def inverse(self, z: Tensor, mask: Tensor, g: Tensor) -> Tensor:
        """Undo :meth:`forward`."""
        return (z - self.bias) * torch.exp(-self.logs) * mask


class PlainInvConvNear(nn.Module):
    """A two-dimensional 1-tap convolution over groups of four channels, two of each half."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(GROUPS))

    @staticmethod
    def mix(x: Tensor, weight: Tensor, mask: Tensor) -> Tensor:
        """``x`` (B, C, N) mixed by ``weight`` (4, 4)."""
        grouped = x.unflatten(1, (2, -1, 2)).transpose(2, 3).contiguous().flatten(1, 2)
        mixed = F.conv2d(grouped, weight[:, :, None, None])
        return mixed.unflatten(1, (2, 2)).transpose(2, 3).contiguous().flatten(1, 3) * mask

    def forward(self, x: Tensor, mask: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        """Transformed ``x`` (B, C, N) and log|det| (B,)."""
        logdet = torch.logdet(self.weight) * (x.size(1) / GROUPS) * mask.sum((1, 2))
        return self.mix(x, self.weight, mask), logdet

    def inverse(self, z: Tensor, mask: Tensor, g: Tensor) -> Tensor:
        """Undo :meth:`forward`."""
        return self.mix(z, torch.inverse(self.weight), mask)


class PlainWaveNet(nn.Module):
    """Gated convolutions with residual and skip paths."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        hidden, layers = config.hidden_channels, config.n_flow_layer
        self.in_layers = nn.ModuleList(
            PlainWeightNormConv(hidden, 2 * hidden, KERNEL_SIZE) for _ in range(layers)
        )
        self.res_skip_layers = nn.ModuleList(
            PlainWeightNormConv(hidden, (2 if i < layers - 1 else 1) * hidden, 1) for i in range(layers)
        )
        self.cond_layer = PlainWeightNormConv(config.gin_channels, 2 * hidden * layers, 1)

    def forward(self, x: Tensor, mask: Tensor, g: Tensor) -> Tensor:
        """Sum of the skip paths (B, C, N)."""
        total, size = torch.zeros_like(x), x.size(1)
        conditions = self.cond_layer(g).chunk(len(self.in_layers), 1)
        for conv, mix, condition in zip(self.in_layers, self.res_skip_layers, conditions, strict=True):
            both = conv(x) + condition
            out = mix(torch.tanh(both[:, :size]) * torch.sigmoid(both[:, size:]))
            if out.size(1) > size:
                x = (x + out[:, :size]) * mask
                out = out[:, size:]
            total = total + out
        return total * mask


class PlainCoupling(nn.Module):
    """Scales and shifts the second half of the channels by what a WaveNet makes of the first."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels = config.inter_channels * config.n_sqz
        self.pre = PlainConv(channels // 2, config.hidden_channels, 1)
        self.enc = PlainWaveNet(config)
        self.post = PlainConv(config.hidden_channels, channels, 1)

    def _shift_and_logs(self, kept: Tensor, mask: Tensor, g: Tensor) -> tuple[Tensor, ...]:
        return self.post(self.enc(self.pre(kept) * mask, mask, g)).chunk(2, 1)

    def forward(self, x: Tensor, mask: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        """Transformed ``x`` (B, C, N) and log|det| (B,)."""
        kept, changed = x.chunk(2, 1)
        shift, logs = self._shift_and_logs(kept, mask, g)
        changed = (shift + logs.exp() * changed) * mask
        return torch.cat((kept, changed), 1), (logs * mask).sum((1, 2))

    def inverse(self, z: Tensor, mask: Tensor, g: Tensor) -> Tensor:
        """Undo :meth:`forward`."""
        kept, changed = z.chunk(2, 1)
        shift, logs = self._shift_and_logs(kept, mask, g)
        return torch.cat((kept, (changed - shift) * torch.exp(-logs) * mask), 1)


class PlainFlow(nn.Module):
    """``n_flow_block_layer`` times ActNorm, InvConvNear, coupling, on squeezed frames."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.n_sqz = config.n_sqz
        self.flows = nn.ModuleList()
        for _ in range(config.n_flow_block_layer):
            self.flows.append(PlainActNorm(config.inter_channels * config.n_sqz))
            self.flows.append(PlainInvConvNear())
            self.flows.append(PlainCoupling(config))

    def _squeeze(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        mask = mask[:, :, self.n_sqz - 1 :: self.n_sqz]
        return x.unflatten(2, (-1, self.n_sqz)).permute(0, 3, 1, 2).flatten(1, 2) * mask, mask

    def _unsqueeze(self, x: Tensor, mask: Tensor) -> Tensor:
        return x.unflatten(1, (self.n_sqz, -1)).permute(0, 2, 3, 1).flatten(2) * mask

    def forward(self, mel: Tensor, mask: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        """Latent (B, M, N) and log|det| (B,)."""
        x, real = self._squeeze(mel, mask)
        total = torch.zeros(len(x), device=x.device)
        for step in self.flows:
            x, logdet = step(x, real, g)
            total = total + logdet
        return self._unsqueeze(x, mask), total

    def inverse(self, z: Tensor, mask: Tensor, g: Tensor) -> Tensor:
        """Mel (B, M, N)."""
        x, real = self._squeeze(z, mask)
        for step in reversed(self.flows):
            x = step.inverse(x, real, g)  # type: ignore[operator]
        return self._unsqueeze(x, mask)


class PlainGlow(nn.Module):
    """The published model; its tensors have the names and shapes of :class:`models.GlowSVC`.

    There are none of ``use_crn_pre``, ``use_depthwise_conv``, ``flow_share_parameter`` and the prenet.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config, channels = config, config.hidden_channels
        self.emb_g = nn.Embedding(config.n_speakers, config.gin_channels)
        self.emb_vol = nn.Linear(1, channels) if config.vol_embedding else None
        self.pre = nn.Conv1d(config.ssl_dim, channels, 5, padding=2)
        self.enc_p = PlainTextEncoder(config)
        self.flow = PlainFlow(config)
        self.f0_decoder = PlainF0Decoder(config) if config.use_automatic_f0_prediction else None
        self.emb_uv = nn.Embedding(2, channels)
        self.spk_emb = nn.Embedding(config.n_speakers, channels)

    @classmethod
    def copy(cls, model: GlowSVC) -> PlainGlow:
        """Plain form of ``model``, with copies of its weights."""
        plain = cls(model.config)
        plain.load_state_dict(model.state_dict())
        return plain

    def _embed(self, units: Tensor, uv: Tensor, speaker: Tensor, volume: Tensor | None) -> Tensor:
        x = self.pre(units) + self.emb_uv(uv.long()).transpose(1, 2) + self.spk_emb(speaker).unsqueeze(2)
        if self.emb_vol is not None and volume is not None:
            x = x + self.emb_vol(volume.unsqueeze(2)).transpose(1, 2)
        return x

    def forward(
        self,
        units: Tensor,
        f0: Tensor,
        uv: Tensor,
        mel: Tensor,
        lengths: Tensor,
        speaker_id: Tensor,
        volume: Tensor | None = None,
    ) -> Tensor:
        """Negative log-likelihood of the mel, a scalar; arguments as of :meth:`models.GlowSVC.forward`."""
        n_sqz = self.config.n_sqz
        frames = mel.size(2) // n_sqz * n_sqz
        x = self._embed(units, uv, speaker_id, volume)[:, :, :frames]
        f0, uv, mel = f0[:, :frames], uv[:, :frames], mel[:, :, :frames]
        mask = length_mask(lengths // n_sqz * n_sqz, frames)
        g, x = self.emb_g(speaker_id).unsqueeze(2), x * mask
        if self.f0_decoder is not None:
            self.f0_decoder(x, normalize_lf0(hz_to_lf0(f0).unsqueeze(1), mask, uv), mask, g)
        m_p, logs_p = self.enc_p(x, f0, mask)
        z, logdet = self.flow(mel, mask, g)
        with torch.autocast(z.device.type, enabled=False):
            z, m_p, logs_p = z.float(), m_p.float(), logs_p.float()
            total = logs_p.sum() + 0.5 * (torch.exp(-2 * logs_p) * (z - m_p) ** 2).sum() - logdet.sum()
            return total / (torch.ones_like(z) * mask).sum() + 0.5 * math.log(2 * math.pi)

    def infer(
        self,
        units: Tensor,
        f0: Tensor,
        uv: Tensor,
        speaker_id: Tensor,
        volume: Tensor | None,
        noise: Tensor,
    ) -> Tensor:
        """Mel (B, M, N), N a multiple of ``n_sqz``; arguments as of :meth:`models.GlowSVC.convert`."""
        mask = torch.ones_like(f0).unsqueeze(1)
        x = self._embed(units, uv, speaker_id, volume) * mask
        m_p, logs_p = self.enc_p(x, f0, mask)
        z = (m_p + noise * torch.exp(logs_p)) * mask
        return self.flow.inverse(z, mask, self.emb_g(speaker_id).unsqueeze(2))


def differences(model: GlowSVC, batch: dict[str, Tensor]) -> tuple[float, float]:
    """How far the likelihood and the norms of its gradients are from the plain form's, relatively.

    Gradients are compared with at least 1e-4 of the largest one's norm, since some are rounding alone.
    """
    plain = PlainGlow.copy(model).train(model.training)
    losses = (GlowSVC.losses(model(**batch))["mle"], plain(**batch))
    names = [name for name, _ in model.named_parameters()]
    values, norms = [], []
    for network, loss in zip((model, plain), losses, strict=True):
        network.zero_grad(set_to_none=True)
        loss.backward()
        values.append(float(loss.detach()))
        gradients = dict(network.named_parameters())
        found = [gradients[name].grad for name in names]
        norms.append(torch.stack([torch.zeros(()) if x is None else x.norm() for x in found]))
        network.zero_grad(set_to_none=True)
    one, other = norms
    off = (one - other).abs() / other.clamp(min=1e-4 * float(other.max()))
    return abs(values[0] / values[1] - 1), float(off.max())
