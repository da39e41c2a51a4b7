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

    Half of the windows have the units of a copy in another voice. The same clips give the same
    weights on the same machine.
    """
    if not steps:
        return
    rng = np.random.default_rng(0)
    units = _units(clips, config, rng)
    curves = [torch.from_numpy(np.stack([clip.f0, clip.uv]).astype(np.float32)) for clip in clips]
    lengths = np.array([clip.mel.size(1) for clip in clips])
    window, speaker = config.train.max_speclen, torch.zeros(_BATCH, dtype=torch.int64)
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
                start = int(rng.integers(max(1, lengths[index] - window + 1)))
                stop = min(start + window, int(lengths[index]))
                parts = (units[index][rng.integers(2)], curves[index], clips[index].mel)
                rows.append([F.pad(part[:, start:stop], (0, start + window - stop)) for part in parts])
                sizes.append(stop - start)
            unit, curve, mel = (torch.stack(parts) for parts in zip(*rows, strict=True))
            mel = mel + config.train.mel_noise * torch.randn_like(mel)
            with autocast("cpu", torch.bfloat16 if cpu_has_bf16() else torch.float32):
                output = model(unit, curve[:, 0], curve[:, 1], mel, torch.tensor(sizes), speaker)
            optimizer.zero_grad(set_to_none=True)
            GlowSVC.losses(output)["mle"].backward()
            nn.utils.clip_grad_norm_(parameters, _LARGEST)
            optimizer.step()
            bar.update()
    model.eval().requires_grad_(True)


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
