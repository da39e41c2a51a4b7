"""Adaptation of a voice model to half a minute of recordings, in memory and within seconds.

A base model's vectors of a speaker say too little of a voice that it never heard; a few dozen
steps of training on the same recordings, far from the end of one, say much of the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models import GlowSVC
from modules.common.device import autocast, cpu_has_bf16
from modules.common.progress import progress_bar
from modules.config import Config
from modules.dataset.perturb import perturb_voice
from modules.dsp.align import align_units
from modules.dsp.audio import resample
from modules.dsp.unit_clock import UnitClock
from modules.nn.losses import mle_loss
from modules.nn.masks import length_mask
from vencoder import ENCODERS

STEPS = 40
RATE, BETAS = 1e-3, (0.8, 0.99)  # of AdamW; the rate falls to 0
_WARM_UP = 5  # steps
_BATCH = 8  # windows
_LARGEST = 5.0  # norm of the gradient
_ADAPTED = ("flow.", "emb_g.")  # tensors; the text encoder would forget sounds that half a minute lacks


@dataclass(frozen=True, eq=False)
class VoiceClip:
    """A recording of N frames."""

    audio: np.ndarray  # (T,)
    mel: Tensor  # (M, N), natural log
    f0: np.ndarray  # (N,), Hz, filled through unvoiced frames
    uv: np.ndarray  # (N,), 1 = voiced


def adapt(model: GlowSVC, clips: Sequence[VoiceClip], config: Config, steps: int = STEPS) -> None:
    """Train the flow of ``model``, and its one speaker, on random windows of ``clips``, in place.

    Half of the windows have the units of a copy in another voice. The text encoder is not trained, so
    it runs once. The same clips give the same weights on the same machine.
    """
    if not steps:
        return
    rng = np.random.default_rng(0)
    precision = torch.bfloat16 if cpu_has_bf16() else torch.float32
    speaker, n_sqz = torch.zeros(_BATCH, dtype=torch.int64), config.model.n_sqz
    units = _units(clips, config, rng)
    with torch.no_grad(), autocast("cpu", precision):
        priors = [_prior(model, *pair) for pair in zip(clips, units, strict=True)]
    lengths = np.array([clip.mel.size(1) // n_sqz * n_sqz for clip in clips])
    window = config.train.max_speclen // n_sqz * n_sqz
    parameters = [value for name, value in model.named_parameters() if name.startswith(_ADAPTED)]
    model.requires_grad_(False)
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(parameters, RATE, betas=BETAS)
    with torch.random.fork_rng(devices=[]), progress_bar(total=steps, desc="adaptation", unit="step") as bar:
        torch.manual_seed(0)
        model.train()
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = RATE * min(1.0, (step + 1) / _WARM_UP) * (1 - step / steps)
            rows, sizes = [], []
            for index in rng.choice(len(clips), _BATCH, p=lengths / lengths.sum()):
                size = min(window, int(lengths[index]))
                start = int(rng.integers(lengths[index] - size + 1))
                parts = (priors[index][rng.integers(2)], clips[index].mel)
                rows.append([F.pad(part[..., start : start + size], (0, window - size)) for part in parts])
                sizes.append(size)
            prior, mel = (torch.stack(parts) for parts in zip(*rows, strict=True))
            mask = length_mask(torch.tensor(sizes), window)
            mel = mel + config.train.mel_noise * torch.randn_like(mel)
            with autocast("cpu", precision):
                z, logdet = model.flow(mel, mask, model.embed_speaker(speaker)[0])
                loss = mle_loss(z, prior[:, 0], prior[:, 1], logdet, mask)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, _LARGEST)
            optimizer.step()
            bar.update()
    model.eval().requires_grad_(True)


def _prior(model: GlowSVC, clip: VoiceClip, units: Tensor) -> Tensor:
    """Mean and log deviation (2, 2, M, N) of the text encoder, for both units (2, D, N) of a clip."""
    f0, uv = (torch.from_numpy(np.float32(track)).expand(len(units), -1) for track in (clip.f0, clip.uv))
    speaker = model.embed_speaker(torch.zeros(len(units), dtype=torch.int64))[1]
    mask = torch.ones_like(f0).unsqueeze(1)
    return torch.stack(model.enc_p(model.embed(units, uv, speaker, None), f0, mask), 1).float()


def _units(clips: Sequence[VoiceClip], config: Config, rng: np.random.Generator) -> list[Tensor]:
    """Units (2, D, N) of each clip, and of a copy of it in another voice, stretched to mel frames."""
    name = config.model.speech_encoder
    encoder, clock = ENCODERS.build(name, torch.device("cpu")), ENCODERS[name].clock
    result = []
    for clip in clips:
        speech = resample(clip.audio, config.data.sampling_rate, UnitClock.sampling_rate)
        copies = perturb_voice(speech, UnitClock.sampling_rate, 1, rng)
        voices = [torch.from_numpy(np.asarray(voice, np.float32)) for voice in (speech, *copies)]
        frames = clip.mel.size(1)
        encoded = encoder.encode_batch(voices)
        result.append(torch.stack([align_units(x, frames, config.data, clock, 0, frames) for x in encoded]))
    return result
