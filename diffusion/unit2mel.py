"""The diffusion model: from units, F0, volume and speaker to a mel.

It generates a mel from noise, or refines that of the Glow model (shallow
diffusion). Module names are those of so-vits-svc, Glow-SVC and Diffusion-SVC,
which share them: a published ``model_*.pt`` loads by name and shape. They
differ in ``spk_embed`` only: absent (one speaker), a table, or, in
Diffusion-SVC with a speaker encoder, a linear map of its embedding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diffusion.config import DiffusionConfig
from diffusion.decoder import MelDecoder, Progress
from diffusion.gaussian import GaussianDiffusion
from diffusion.reflow import ReFlow
from diffusion.samplers.base import Draw
from modules.checkpoint import build_module, model_state
from modules.common.errors import CheckpointError, ConfigError, FeatureError
from modules.nn.speakers import check_ids, check_shares, embed_speakers

_F0_SCALE = 700.0  # Hz; F0 is embedded as ln(1 + f0 / 700), a mel scale
_SHIFT_SCALE = 5.0  # semitones; the widest shift of augmentation counts as 1
_DECODERS: dict[str, type[MelDecoder]] = {"Diffusion": GaussianDiffusion, "ReFlow": ReFlow}  # by model.type


class Unit2Mel(nn.Module):
    """The model that diffusion.yaml describes."""

    def __init__(self, config: DiffusionConfig) -> None:
        super().__init__()
        self.config = config
        model, hidden = config.model, config.model.n_hidden
        # in the order of the published checkpoints, which their optimizer states rely on
        self.unit_embed = nn.Linear(config.data.ssl_dim, hidden)
        self.f0_embed = nn.Linear(1, hidden)
        self.volume_embed = nn.Linear(1, hidden)
        self.aug_shift_embed = nn.Linear(1, hidden, bias=False) if model.use_pitch_aug else None
        self.spk_embed: Any = None
        if model.use_speaker_encoder:
            self.spk_embed = nn.Linear(model.speaker_encoder_out_channels, hidden, bias=False)
        elif model.n_spk > 1:
            self.spk_embed = nn.Embedding(model.n_spk, hidden)
        self.decoder = _DECODERS[model.type](model, config.data.n_mels)

    def embed_speaker(self, speaker: Tensor) -> Tensor | None:
        """The speaker's part of the condition (B, H, 1 or N); None for a model of one speaker.

        ``speaker``: ids from 0, int64 (B,); or shares of each speaker, float (B, S), or (B, N, S) frame
        by frame. For a model with a speaker encoder its embedding, float (B, E) or (B, N, E).

        Raises:
            ConfigError: The shares are not those of ``n_spk`` speakers, or the
                embedding has another size.
        """
        model = self.config.model
        if not model.use_speaker_encoder:
            check_shares(speaker, model.n_spk)
            return embed_speakers(self.spk_embed, speaker) if self.spk_embed is not None else None
        size = model.speaker_encoder_out_channels
        if not speaker.is_floating_point() or speaker.size(-1) != size:
            raise ConfigError(
                f"this model knows speakers by embeddings of {size} numbers (model.use_speaker_encoder), "
                "not by ids or shares"
            )
        assert self.spk_embed is not None
        return self.spk_embed(speaker if speaker.dim() == 3 else speaker.unsqueeze(1)).transpose(1, 2)

    def embed(
        self, units: Tensor, f0: Tensor, volume: Tensor, speaker: Tensor, aug_shift: Tensor | None = None
    ) -> Tensor:
        """Condition (B, H, N) of the network; the inputs are those of :meth:`infer`.

        ``aug_shift`` (B,) is by how many semitones the mel was shifted; None is 0.

        Raises:
            ConfigError: The units have another number of channels; a shift for
                a model without ``use_pitch_aug``; see :meth:`embed_speaker`.
        """
        data = self.config.data
        if units.size(1) != data.ssl_dim:
            raise ConfigError(
                f"the units have {units.size(1)} channels, but the diffusion model wants {data.ssl_dim} "
                f"(data.encoder {data.speech_encoder!r}): use the encoder that it was trained with"
            )
        x = self.unit_embed(units.transpose(1, 2))
        x = x + self.f0_embed(torch.log1p(f0 / _F0_SCALE).unsqueeze(2))
        x = x + self.volume_embed(volume.unsqueeze(2))
        if aug_shift is not None:
            if self.aug_shift_embed is None:
                raise ConfigError("this model has no pitch shift (model.use_pitch_aug is off)")
            x = x + self.aug_shift_embed((aug_shift / _SHIFT_SCALE)[:, None, None])
        x, embedded = x.transpose(1, 2), self.embed_speaker(speaker)
        return x if embedded is None else x + embedded

    def forward(
        self,
        units: Tensor,
        f0: Tensor,
        volume: Tensor,
        speaker: Tensor,
        aug_shift: Tensor | None,
        mel: Tensor,
        *,
        t: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        """Training loss, a scalar, of a batch of windows.

        The first five are those of :meth:`embed`, the rest of :meth:`MelDecoder.forward`. There
        is no check for NaN, which would make a GPU wait at every step; it makes the loss NaN.

        Raises:
            ConfigError: See :meth:`embed`.
            FeatureError: The mel is of another length or has other bins.
        """
        condition, mel = self._aligned(self.embed(units, f0, volume, speaker, aug_shift), mel)
        return self.decoder(condition, mel, t=t, noise=noise)

    @torch.inference_mode()
    def infer(
        self,
        units: Tensor,
        f0: Tensor,
        volume: Tensor,
        speaker: Tensor,
        *,
        mel: Tensor | None = None,
        k_step: int | None = None,
        method: str | None = None,
        speedup: int | None = None,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
        draw: Draw | None = None,
        progress: Progress | None = None,
    ) -> Tensor:
        """Sample a mel.

        Args:
            units: (B, D, N), stretched to N frames.
            f0: (B, N), Hz.
            volume: (B, N), root mean square.
            speaker: Ids (B,), or shares (B, S) or (B, N, S); see :meth:`embed_speaker`.
            mel: (B, M, N), natural log, to refine (shallow diffusion); None is from noise alone.
                It may be one frame longer or shorter: two frame rates round differently.
            k_step: Steps to noise ``mel`` by; None is all that the model is trained for.
            method: One of ``diffusion.samplers.methods(config.model.type)``; None is the
                configured one.
            speedup: Steps of the schedule per step of the method; None is what is configured.
            noise: (B, M, N), standard normal, instead of drawing the start.
            generator: Source of noise; None is a fresh one with the same seed
                at each call, so the same input gives the same mel.
            draw: Noise (B, M, N) of stochastic samplers for each step, instead of the generator's.
            progress: Called with (evaluations done, of how many) after each.

        Returns:
            (B, M, N), natural log; N is the shorter one of ``mel`` and ``units``.

        Raises:
            ConfigError: See :meth:`embed` and :meth:`MelDecoder.steps`; unknown
                speaker id or method.
            FeatureError: Something is not finite, or the mel does not fit.
        """
        self.decoder.steps(k_step, mel is not None)  # refused before any work
        for name, track in {"units": units, "F0": f0, "volume": volume, "mel": mel}.items():
            if track is not None and not torch.isfinite(track).all():
                raise FeatureError(
                    f"the {name} holds NaN or infinity: diffusion would spread it over the whole mel"
                )
        check_ids(speaker, self.config.model.n_spk)
        condition = self.embed(units, f0, volume, speaker)
        if mel is not None:
            condition, mel = self._aligned(condition, mel)
        # drawn on the generator's device: a CPU and a GPU then sample alike
        source = generator or torch.Generator().manual_seed(0)

        def randn(shape: tuple[int, ...]) -> Tensor:
            return torch.randn(shape, generator=source, device=source.device).to(units)

        frames = condition.size(2)
        shape = (len(units), self.config.data.n_mels, frames)
        return self.decoder.sample(
            condition,
            method=self.config.infer.method if method is None else method,
            speedup=self.config.infer.speedup if speedup is None else speedup,
            noise=randn(shape) if noise is None else noise[:, :, :frames].to(units),
            draw=draw or (lambda x: randn(tuple(x.shape))),
            mel=mel,
            k_step=k_step,
            progress=progress,
        )

    def _aligned(self, condition: Tensor, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Both cut to the shorter one; raises FeatureError if they differ by more than a frame."""
        n_mels = self.config.data.n_mels
        if mel.size(1) != n_mels:
            raise FeatureError(f"the mel has {mel.size(1)} bins, but the diffusion model has {n_mels}")
        frames = min(condition.size(2), mel.size(2))
        if max(condition.size(2), mel.size(2)) > frames + 1:
            raise FeatureError(
                f"the mel has {mel.size(2)} frames, its units and F0 {condition.size(2)}: "
                "they are not of one recording, or not made with one hop length"
            )
        return condition[:, :, :frames], mel[:, :, :frames]


def load_unit2mel(path: str | Path, config: DiffusionConfig) -> Unit2Mel:
    """Load a published or own ``model_*.pt``, on the CPU, ready for inference.

    Raises:
        CheckpointError: The file cannot be read, or does not fit ``config``.
    """
    state = model_state(path)
    networks = {name.split(".")[1] for name in state if name.startswith("decoder.")}
    found = next((kind for kind, decoder in _DECODERS.items() if decoder.network_name in networks), None)
    if found not in (None, config.model.type):
        raise CheckpointError(
            f"{path} is a model of type {found}, but its configuration says {config.model.type} "
            "(model.type): use the config.yaml saved beside it"
        )
    units = state.get("unit_embed.weight")
    if units is not None and units.dim() == 2 and units.size(1) != config.data.ssl_dim:
        raise CheckpointError(
            f"{path} expects {units.size(1)}-channel units but its configuration says {config.data.ssl_dim} "
            f"(data.encoder {config.data.speech_encoder!r}): use the config.yaml saved beside it"
        )
    model = build_module(lambda: Unit2Mel(config), state, path)
    return model.eval().requires_grad_(False)
