"""The acoustic model as ONNX graphs: units, F0 and speaker to a mel.

The graph is the inverse flow alone, with everything that depends on weights
only precomputed. A speaker is a row of shares, frame by frame; layers are
linear in a speaker's embedding, so the graph keeps their output for each
speaker, and any mix costs no more than one speaker.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from export.check import FRAMES, Graph, Reference
from export.graph import Shape
from models import GlowSVC
from modules.nn.flow import InvConvNear
from modules.nn.frames import FrameConv
from modules.nn.wavenet import WeightNormConv1d
from modules.onnx.manifest import MELODY, MODEL, track_inputs


def glow_graph(model: GlowSVC, hop_length: int) -> Graph:
    """Graph that predicts the mel."""
    inputs = glow_inputs(model)
    mel = "mel", inputs["noise"]
    return Graph(MODEL, GlowGraph(model), inputs, mel, mel_reference(model), hop_length)


def melody_graph(model: GlowSVC, hop_length: int) -> Graph:
    """Graph that predicts F0."""
    inputs = {name: shape for name, shape in glow_inputs(model).items() if name != "noise"}

    def reference(feed: Mapping[str, Tensor]) -> Tensor:
        silence = torch.zeros(1, model.config.inter_channels, feed["f0"].size(1))
        return _converted(model, {**feed, "noise": silence}, predict_f0=True)[1]

    return Graph(MELODY, MelodyGraph(model), inputs, ("sung_f0", (1, FRAMES)), reference, hop_length)


def glow_inputs(model: GlowSVC) -> dict[str, Shape]:
    """Inputs of the graph that predicts the mel, in the order of its arguments."""
    tracks = track_inputs(model.config, FRAMES)
    noise = {"noise": (1, model.config.inter_channels, FRAMES)}
    return {**{name: tracks.pop(name) for name in ("units", "f0", "uv")}, **noise, **tracks}


def mel_reference(model: GlowSVC) -> Reference:
    """The mel of the graph's inputs as PyTorch computes it."""
    return lambda feed: _converted(model, feed)[0]


def _converted(model: GlowSVC, feed: Mapping[str, Tensor], predict_f0: bool = False) -> tuple[Tensor, Tensor]:
    speaker = feed.get("speaker", torch.zeros(1, dtype=torch.int64))
    volume, noise = feed.get("volume"), feed["noise"]
    return model.convert(feed["units"], feed["f0"], feed["uv"], speaker, volume, noise, predict_f0)


class FoldedModel(nn.Module):
    """A copy of the model with weight norms folded and speaker layers on shares, for both graphs."""

    def __init__(self, model: GlowSVC) -> None:
        super().__init__()
        self.config = model.config
        self.model: Any = copy.deepcopy(model).float().eval()
        by_speaker = self.model.emb_g.weight
        if self.model.f0_decoder is not None:
            self.model.f0_decoder.cond = _for_speakers(self.model.f0_decoder.cond, by_speaker)
        wavenets: dict[int, Any] = {id(step.enc): step.enc for step in self.model.flow.flows[2::3]}
        for wavenet in wavenets.values():  # once, if the couplings share one
            wavenet.cond_layer = _for_speakers(_folded(wavenet.cond_layer), by_speaker)
        _fold_all(self.model)

    def embed(
        self, units: Tensor, uv: Tensor, speaker: Tensor | None, volume: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Embed the units (1, C, N), and transpose the shares (1, S, N or 1)."""
        if speaker is None:  # a model of one speaker
            speaker = torch.ones(1, 1, 1)
        shift = (speaker @ self.model.spk_emb.weight).transpose(1, 2)
        return self.model.embed(units, uv, shift, volume), speaker.transpose(1, 2)


class GlowGraph(FoldedModel):
    """Units, F0 and noise to a mel, of any number of frames."""

    def __init__(self, model: GlowSVC) -> None:
        super().__init__(model)
        steps = self.model.flow.flows
        for number, step in enumerate(steps):
            if isinstance(step, InvConvNear):
                steps[number] = _Inverted(step)

    def forward(
        self,
        units: Tensor,
        f0: Tensor,
        uv: Tensor,
        noise: Tensor,
        speaker: Tensor | None = None,
        volume: Tensor | None = None,
    ) -> Tensor:
        """Mel (1, M, N), natural log, of units (1, D, N), F0 (1, N) in Hz without gaps, and uv (1, N).

        ``uv`` is 1 where voiced; noise (1, M, N) is standard normal times ``noise_scale``; ``speaker``
        (1, N, S) are shares, for a model of several; ``volume`` (1, N) is RMS, for one that follows it.
        """
        x, shares = self.embed(units, uv, speaker, volume)
        mean, logs = self.model.enc_p(x, f0, torch.ones_like(f0).unsqueeze(1))
        z = mean + noise * logs.exp()
        n_sqz, frames = self.config.n_sqz, z.size(2)
        whole = (frames + n_sqz - 1) // n_sqz * n_sqz
        held = torch.arange(whole).clamp(max=frames - 1)  # repeats the last frame to a whole group
        if speaker is not None:
            shares = shares[:, :, held]
        z = z[:, :, held]
        return self.model.flow.inverse(z, torch.ones(1, 1, 1), shares)[:, :, :frames]


class MelodyGraph(FoldedModel):
    """Units and F0 to predicted F0: ``-a``, for speech."""

    def forward(
        self,
        units: Tensor,
        f0: Tensor,
        uv: Tensor,
        speaker: Tensor | None = None,
        volume: Tensor | None = None,
    ) -> Tensor:
        """Return F0 (1, N), Hz; arguments as of :class:`GlowGraph`."""
        x, shares = self.embed(units, uv, speaker, volume)
        return self.model.decode_f0(x, f0, uv, torch.ones_like(f0).unsqueeze(1), shares)


class _Inverted(nn.Module):
    """The inverse of a mixing, whose matrix is inverted here: ONNX has no such operator."""

    matrix: Tensor

    def __init__(self, mix: InvConvNear) -> None:
        super().__init__()
        self.register_buffer("matrix", torch.linalg.inv(mix.weight.detach().double()).float())

    def inverse(self, z: Tensor, mask: Tensor, g: Tensor) -> Tensor:
        """See :meth:`modules.nn.flow.InvConvNear.inverse`."""
        return InvConvNear.mix(z, self.matrix)


def _for_speakers(conv: FrameConv, by_speaker: Tensor) -> FrameConv:
    """A convolution of speaker embeddings (1, G, N) as one of shares (1, S, N)."""
    assert conv.bias is not None
    weight = conv.weight.detach()[..., 0].double() @ by_speaker.detach().double().T
    return _conv(weight.unsqueeze(2), conv.bias)


def _folded(conv: WeightNormConv1d) -> FrameConv:
    """The plain convolution that ``conv`` stands for, computed in float64."""
    return _conv(copy.deepcopy(conv).double().weight.detach(), conv.bias, conv.groups)


def _fold_all(module: nn.Module) -> None:
    """Replace every weight norm inside ``module``."""
    for name, child in module.named_children():
        if isinstance(child, WeightNormConv1d):
            setattr(module, name, _folded(child))
        else:
            _fold_all(child)


def _conv(weight: Tensor, bias: Tensor, groups: int = 1) -> FrameConv:
    n_out, n_in, size = weight.shape
    conv = FrameConv(n_in * groups, n_out, size, padding=size // 2, groups=groups)
    conv.weight = nn.Parameter(weight.float(), requires_grad=False)
    conv.bias = nn.Parameter(bias.detach().float(), requires_grad=False)
    return conv
