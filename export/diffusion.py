"""The diffusion model as two ONNX graphs: the condition and the denoiser.

The first runs once for a segment, the second at every step of a sampler. The
samplers are a few sums and stay outside.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from diffusion.gaussian import GaussianDiffusion
from diffusion.schedule import NoiseSchedule
from diffusion.unit2mel import Unit2Mel
from export.check import FRAMES, Graph
from export.graph import Shape
from modules.onnx.manifest import CONDITION, DENOISER, DiffusionManifest


def diffusion_graphs(model: Unit2Mel) -> list[Graph]:
    """Both graphs."""
    config = model.config
    units: Shape = (1, config.data.ssl_dim, FRAMES)
    inputs: dict[str, Shape] = {"units": units, "f0": (1, FRAMES), "volume": (1, FRAMES)}
    if config.model.n_spk > 1:
        inputs["speaker"] = (1, FRAMES, config.model.n_spk)
    given: Shape = (1, config.model.n_hidden, FRAMES)
    mel: Shape = (1, config.data.n_mels, FRAMES)

    def embedded(feed: Mapping[str, Tensor]) -> Tensor:
        speaker = feed.get("speaker", torch.zeros(1, dtype=torch.int64))
        return model.embed(feed["units"], feed["f0"], feed["volume"], speaker)

    hop, network = config.data.hop_length, model.decoder.network
    noised: dict[str, Shape] = {"x": mel, "t": (1,), "condition": given}
    return [
        Graph(CONDITION, ConditionGraph(model), inputs, ("condition", given), embedded, hop),
        Graph(DENOISER, network, noised, ("prediction", mel), lambda feed: network(**feed), hop),
    ]


def diffusion_sidecar(model: Unit2Mel) -> DiffusionManifest:
    """Parameters for a sampler."""
    config, decoder = model.config, model.decoder
    betas: tuple[float, ...] = ()
    if isinstance(decoder, GaussianDiffusion):
        usual = NoiseSchedule.linear(config.model.timesteps).betas
        if not np.array_equal(decoder.schedule.betas, usual):
            betas = tuple(map(float, decoder.schedule.betas))
    return DiffusionManifest(
        type=config.model.type,
        timesteps=config.model.timesteps,
        max_steps=config.model.max_steps,
        n_speakers=config.model.n_spk,
        speakers=config.spk,
        mel_min=float(decoder.spec_min),
        mel_max=float(decoder.spec_max),
        method=config.infer.method,
        speedup=config.infer.speedup,
        betas=betas,
        unit_interpolate_mode=config.data.unit_interpolate_mode,
    )


class ConditionGraph(nn.Module):
    """Units, F0, volume and speaker to the condition, with a copy of the model."""

    def __init__(self, model: Unit2Mel) -> None:
        super().__init__()
        self.model: Any = copy.deepcopy(model)
        del self.model.decoder

    def forward(self, units: Tensor, f0: Tensor, volume: Tensor, speaker: Tensor | None = None) -> Tensor:
        """Condition (1, H, N) of units (1, D, N), gapless F0 (1, N) in Hz, RMS (1, N), shares (1, N, S)."""
        if speaker is None:
            speaker = torch.zeros(1, dtype=torch.int64)
        return self.model.embed(units, f0, volume, speaker)
