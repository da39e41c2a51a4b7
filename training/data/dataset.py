"""Cached features as training batches, the same on every run.

Everything random in an item (window, loudness, which perturbed copy) follows from
(seed, epoch, item), and the order of items from (seed, epoch). So a run resumes
exactly from the epoch and the position in it, with any number of workers.

The mel gets a little noise. A likelihood has no upper bound on values that never
change, and mels have such values: silence, and everything above 11 kHz in a
22 050 Hz recording. Without noise they dominate the flow's loss (gradients a
hundred times larger, and a mel error that stops falling at twice the value).
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from modules.config import Config
from modules.dataset import features
from modules.dataset.feature_record import frame_count
from modules.dsp.align import align_units
from modules.dsp.mel import FLOOR
from training.data.batches import (
    TensorBatch,
    add_noise,
    held_out_frames,
    load_unit_variants,
    sample_unit_variant,
    speaker_ids,
    validation_frames,
)
from training.data.sampler import Item
from vencoder import ENCODERS

_LN_FLOOR = math.log(FLOOR)


@dataclass(frozen=True)
class GlowBatch(TensorBatch):
    """Clips, padded with zeros to the longest."""

    units: Tensor  # (B, D, N), stretched to mel frames
    f0: Tensor  # (B, N), Hz, filled through unvoiced frames
    uv: Tensor  # (B, N), 1 = voiced
    mel: Tensor  # (B, M, N), natural log
    volume: Tensor | None  # (B, N), RMS; None when the model does not use it
    lengths: Tensor  # (B,), frames
    speaker_id: Tensor  # (B,)
    f0_factor: Tensor  # (B,), spread of the normalised log F0 that the F0 predictor sees

    def model_inputs(self) -> dict[str, Any]:
        """Arguments of ``GlowSVC.forward``."""
        names = ("units", "f0", "uv", "mel", "lengths", "speaker_id", "volume")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class _GlowClip:
    units: Tensor  # (1 + K, D, U): the clip's own, then its perturbed copies
    f0: Tensor
    uv: Tensor
    mel: Tensor
    volume: Tensor | None


class GlowDataset(Dataset[GlowBatch]):
    """Random windows of clips; or, for validation, the first 20 s of the clips as they are.

    A clip gives as many items per epoch as windows fit into it, so every second
    of the data set counts alike.

    Args:
        clips: Paths of the wavs; a clip's folder names its speaker.
        config: Window length, augmentation, speakers.
        augment: Windows, loudness and perturbed units; off for validation.
        others: Clips of the other list, training or validation; one in both is split between them.

    Attributes:
        lengths: Frames of each training item.

    Raises:
        ConfigError: A clip's folder is not a speaker of the configuration.
        FeatureError: A feature is missing or broken (when it is read).
    """

    def __init__(
        self, clips: list[Path], config: Config, *, augment: bool, others: Collection[Path] = ()
    ) -> None:
        self.clips, self.config, self.augment = clips, config, augment
        self._shared = [clip in others for clip in clips]
        self._frame_rate = config.data.sampling_rate / config.data.hop_length
        self._window = config.train.max_speclen
        self._any_loudness = augment and config.train.vol_aug and config.model.vol_embedding
        self._speakers = self._speaker_ids()
        self._clock = ENCODERS[config.model.speech_encoder].clock
        self._memory: dict[int, _GlowClip] = {}
        self._items, self.lengths = list(range(len(clips))), []
        if augment:
            frames = [n - self._begin(i, n) for i, n in enumerate(map(frame_count, clips))]
            self._items = [i for i, n in enumerate(frames) for _ in range(max(1, round(n / self._window)))]
            self.lengths = [min(frames[i], self._window) for i in self._items]

    def __len__(self) -> int:
        return len(self._items)

    def _speaker_ids(self) -> list[int]:
        """Id of each clip's speaker."""
        return speaker_ids(self.clips, self.config)

    def _begin(self, index: int, n_frames: int) -> int:
        """First frame that is trained on."""
        return held_out_frames(n_frames, self._frame_rate) if self._shared[index] else 0

    def __getitem__(self, item: Item) -> GlowBatch:
        """Item (epoch, number) as a batch of one."""
        data, train = self.config.data, self.config.train
        epoch, number = item
        index = self._items[number]
        clip = self._clip(index)
        rng = np.random.default_rng((train.seed, epoch, number))
        units, volume, mel = clip.units[0], clip.volume, clip.mel
        start, stop = 0, mel.shape[-1]
        if self.augment:
            units = clip.units[sample_unit_variant(len(clip.units), train.perturb_ratio, rng)]
            begin = self._begin(index, stop)
            start = int(rng.integers(begin, max(begin + 1, stop - self._window + 1)))
            stop = min(stop, start + self._window)
        else:
            stop = validation_frames(stop, self._frame_rate, self._shared[index])
        units = align_units(units, mel.shape[-1], data, self._clock, start, stop)
        mel = mel[:, start:stop]
        if self._any_loudness and volume is not None:
            gain = 10.0 ** rng.uniform(-1.0, 0.0)
            mel, volume = (mel + math.log(gain)).clamp(min=_LN_FLOOR), volume * gain
        if self.augment:
            mel = add_noise(mel, train.mel_noise, rng)
            units = add_noise(units, train.unit_noise, rng)
        return GlowBatch(
            units=units.unsqueeze(0),
            f0=clip.f0[start:stop].unsqueeze(0),
            uv=clip.uv[start:stop].unsqueeze(0),
            mel=mel.unsqueeze(0),
            volume=None if volume is None else volume[start:stop].unsqueeze(0),
            lengths=torch.tensor([stop - start]),
            speaker_id=torch.tensor([self._speakers[index]]),
            f0_factor=torch.tensor([rng.uniform(0.8, 1.2) if self.augment else 1.0], dtype=torch.float32),
        )

    def _clip(self, index: int) -> _GlowClip:
        if index in self._memory:
            return self._memory[index]
        wav, model = self.clips[index], self.config.model
        units = load_unit_variants(wav, self.augment, model.ssl_dim, "; run preprocess_hubert_f0.py again")
        f0, uv = features.load_f0(wav)
        volume = features.load_volume(wav) if model.vol_embedding else None
        clip = _GlowClip(units=units, f0=f0, uv=uv, mel=features.load_mel(wav), volume=volume)
        if self.config.train.all_in_mem:
            self._memory[index] = clip
        return clip
