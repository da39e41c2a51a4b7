"""NSF-HiFiGAN with snake activations: the decoder of so-vits-svc's VITS models.

It is the part ``dec.`` of a ``G_*.pth``, and its input are that model's latents.
Voice models of this project output mels, so only a decoder that was trained on
mels can be used with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.checkpoint import find_state_dict, read_weights
from modules.common.errors import CheckpointError, ConfigError, sanitize
from vdecoder.generator import Generator, GeneratorConfig
from vdecoder.layers import Conv
from vdecoder.nsf_hifigan import NeuralVocoder
from vdecoder.snake import Snake

_PREFIX = "dec."
_FILTERS = ".filter"


class SnakeBlock(nn.Module):
    """Three residual pairs of snake and convolution: a dilated one, then a plain one."""

    def __init__(self, channels: int, kernel_size: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(Conv(channels, channels, kernel_size, d) for d in dilations[:3])
        self.convs2 = nn.ModuleList(Conv(channels, channels, kernel_size) for _ in dilations[:3])
        self.activations = nn.ModuleList(Snake(channels) for _ in range(6))
        self.reach = sum(module.reach for module in (*self.convs1, *self.convs2, *self.activations))

    def forward(self, x: Tensor) -> Tensor:
        """A new tensor from ``x`` (B, C, 1, T)."""
        for dilated, plain, first, second in zip(
            self.convs1, self.convs2, self.activations[::2], self.activations[1::2], strict=True
        ):
            x = plain(second(dilated(first(x))), plus=x)
        return x


class SnakeGenerator(Generator):
    """The generator with snakes instead of leaky_relu, and with a speaker embedding if the model has one."""

    activation_reach = Snake.reach

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config)
        channels = [config.upsample_initial_channel // 2**stage for stage in range(len(self.ups) + 1)]
        self.snakes = nn.ModuleList(map(Snake, channels[:-1]))
        self.snake_post = Snake(channels[-1])
        if config.gin_channels:
            self.cond = nn.utils.skip_init(nn.Conv1d, config.gin_channels, channels[0], 1)

    def resblock(self, channels: int, kernel_size: int, dilations: Sequence[int]) -> nn.Module:
        """One residual block."""
        return SnakeBlock(channels, kernel_size, dilations)

    def in_precision(self, dtype: torch.dtype) -> Generator:
        """As the generator does, with the snakes in float32 too: their frequencies are exponentials."""
        super().in_precision(dtype)
        for module in self.modules():
            if isinstance(module, Snake):
                module.float()
        return self

    def activate(self, stage: int, x: Tensor) -> Tensor:
        """Activation before a stage, or before conv_post."""
        return self.snakes[stage](x) if stage < len(self.snakes) else self.snake_post(x)

    def refine(self, stage: int, x: Tensor) -> Tensor:
        """Mean of a stage's residual blocks for ``x`` (B, C, 1, T)."""
        blocks = self._blocks(stage)
        total = blocks[0](x)
        for block in blocks[1:]:
            total.add_(block(x))
        return total.div_(len(blocks))

    def enter(self, mel: Tensor, speaker: Tensor | None) -> Tensor:
        """First features (B, C, 1, N); ``speaker`` is (B, G), (B, G, 1), or None: zeros."""
        x = super().enter(mel, speaker)
        if not self.config.gin_channels:
            return x
        if speaker is None:
            return x.add_(self.cond.bias.view(-1, 1, 1))
        shift = F.linear(speaker.flatten(1).to(x), self.cond.weight[..., 0], self.cond.bias)
        return x.add_(shift[..., None, None])


class NsfSnakeHifigan(NeuralVocoder):
    """The decoder of a ``G_*.pth``, or ``{"generator": tensors}``; see :class:`NeuralVocoder`."""

    _published = "nsf-snake-hifigan"

    def _build(self, values: dict[str, Any], file: Path) -> Generator:
        config = snake_config(file, values)
        if config.num_mels != self.n_mels:
            raise ConfigError(
                f"{file}: inter_channels {config.num_mels} is not data.n_mels {self.n_mels}. This decoder "
                "is for latents of a VITS model, not for mels; use the vocoder nsf-hifigan."
            )
        return SnakeGenerator(config)

    def _state(self, path: Path) -> dict[str, Tensor]:
        return decoder_state(path)

    def _constants(self, network: Generator) -> dict[str, Tensor]:
        """The filters, which are of the design."""
        return {name: value for name, value in network.state_dict().items() if name.endswith(_FILTERS)}

    def _analysis(self, values: dict[str, Any]) -> dict[str, Any]:
        """Sampling rate and hop; the model's spectrum settings do not concern the decoder."""
        names = {"sampling_rate": "sampling_rate", "hop_length": "hop_size", "hop_size": "hop_size"}
        found = {**values, **_section(values, "data")}
        return {names[name]: found[name] for name in names if name in found}


def snake_config(file: Path, values: dict[str, Any]) -> GeneratorConfig:
    """Sizes from a config.json, or its ``model`` section; raises ConfigError, also for other resblocks."""
    model = _section(values, "model") or values
    if "num_mels" not in model and "inter_channels" in model:
        model = {**model, "num_mels": model["inter_channels"]}
    config = GeneratorConfig.read(model, file)
    if config.resblock != "1":
        raise ConfigError(
            f"{file}: resblock {sanitize(config.resblock)!r} is not supported with snakes; use '1'"
        )
    return config


def decoder_state(path: Path) -> dict[str, Tensor]:
    """The decoder's tensors, from a file of it or of a whole VITS model; raises CheckpointError."""
    content = read_weights(path, keep=("generator", "model"))
    state = find_state_dict(content, path, "generator", "model")
    if "generator" in content:
        return state
    decoder = {name.removeprefix(_PREFIX): value for name, value in state.items() if name.startswith(_PREFIX)}
    if not decoder:
        raise CheckpointError(f"{path} has no tensors named {_PREFIX}…: it is not a VITS model")
    return decoder


def _section(values: dict[str, Any], name: str) -> dict[str, Any]:
    section = values.get(name)
    return section if isinstance(section, dict) else {}
