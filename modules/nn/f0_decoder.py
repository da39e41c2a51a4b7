"""The F0 decoder: automatic F0 prediction, for speech."""

from __future__ import annotations

from torch import Tensor, nn

from modules.config import ModelConfig
from modules.nn.attention import Transformer
from modules.nn.frames import ChannelNorm, FrameConv

UNTRAINED = (
    "the F0 decoder of {model} was never trained, as in all published models, and gives no melody; "
    "train the model on, or remove -a"
)


class F0Decoder(nn.Module):
    """Predicts a speaker's F0 from the units and the shape of the melody."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels = config.hidden_channels
        self.prenet = FrameConv(channels, channels, 3, padding=1)
        self.decoder = Transformer(config, causal=True)
        self.proj = FrameConv(channels, 1, 1)
        self.f0_prenet = FrameConv(1, channels, 3, padding=1)
        self.cond = FrameConv(config.gin_channels, channels, 1)

    @property
    def is_trained(self) -> bool:
        """Whether any of its normalizations has left the value that it starts from."""
        norms = [module for module in self.modules() if isinstance(module, ChannelNorm)]
        return any(bool((norm.gamma != 1).any() or (norm.beta != 0).any()) for norm in norms)

    def forward(self, x: Tensor, norm_lf0: Tensor, mask: Tensor, g: Tensor) -> Tensor:
        """Log F0 (B, 1, N), zero outside the mask (B, 1, N).

        From embedded units (B, C, N), to which no gradient flows back, ``norm_lf0`` (B, 1, N),
        see :func:`modules.dsp.f0.normalize_lf0`, and the speaker (B, gin_channels, 1 or N).
        """
        mask = mask.mT
        x = x.detach().mT + self.cond(g.mT) + self.f0_prenet(norm_lf0.mT)
        return (self.proj(self.decoder(self.prenet(x) * mask, mask)) * mask).mT
