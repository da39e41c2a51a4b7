"""Cached features as training batches of the diffusion model, the same on every run.

A clip has two versions: as recorded, and pitch-augmented (mel shifted by some
semitones, volume of a louder or softer copy). Mel, volume, F0 and shift of one
version stay together, whether they come from memory or from files. As in
training/data/dataset.py, everything random in an item follows from (seed, epoch, item).
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from diffusion.config import DiffusionConfig
from modules.common.errors import FeatureError
from modules.dataset import features
from modules.dataset.feature_record import frame_count
from modules.dsp.align import align_units
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

logger = logging.getLogger(__name__)

_AUGMENTED_SHARE = 0.5  # of the items
_NAMED = 5  # clips that are too short


@dataclass(frozen=True)
class DiffusionBatch(TensorBatch):
    """Windows of one length."""

    units: Tensor  # (B, D, N), stretched to mel frames
    f0: Tensor  # (B, N), Hz, filled through unvoiced frames
    volume: Tensor  # (B, N), RMS
    speaker: Tensor  # (B,), ids
    aug_shift: Tensor | None  # (B,), semitones that mel and F0 are shifted by; None without this input
    mel: Tensor  # (B, M, N), natural log

    def model_inputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor]:
        """Arguments of ``Unit2Mel.forward``."""
        return self.units, self.f0, self.volume, self.speaker, self.aug_shift, self.mel


@dataclass(frozen=True)
class _MelVersion:
    mel: Tensor  # (M, N)
    volume: Tensor  # (N,)
    shift: float  # from the recording, semitones


@dataclass(frozen=True)
class _DiffusionClip:
    units: Tensor  # (1 + K, D, U): the clip's own, then its perturbed copies
    f0: Tensor  # (N,), as sung
    versions: tuple[_MelVersion, ...]  # as recorded, pitch-augmented if there is such a pair

    def to(self, device: torch.device, dtype: torch.dtype) -> _DiffusionClip:
        """The clip on ``device``; units and mels, nearly all of it, as ``dtype``."""
        versions = [
            replace(v, mel=v.mel.to(device, dtype), volume=v.volume.to(device)) for v in self.versions
        ]
        return _DiffusionClip(self.units.to(device, dtype), self.f0.to(device), tuple(versions))


class DiffusionDataset(Dataset[DiffusionBatch]):
    """Random windows of ``data.duration``; or, for validation, the first 20 s of the clips as they are.

    A clip gives as many items per epoch as windows fit into it, so every second
    of the data set counts alike.

    Args:
        clips: Paths of the wavs; a clip's folder names its speaker.
        config: Window length, augmentation, speakers.
        augment: Windows and augmented pairs; off for validation.
        cache: Where all clips are kept; None reads them when they are asked for.
        others: Clips of the other list, training or validation; one in both is split between them.

    Attributes:
        clips: Those that are used.
        lengths: Frames of each item.

    Raises:
        ConfigError: A clip's folder is not a speaker of the configuration.
        FeatureError: A feature is missing or broken, or every clip is shorter
            than a window.
    """

    def __init__(
        self,
        clips: list[Path],
        config: DiffusionConfig,
        *,
        augment: bool,
        cache: torch.device | None = None,
        others: Collection[Path] = (),
    ) -> None:
        data = config.data
        self.config, self.augment = config, augment
        rate = data.sampling_rate / data.hop_length
        # rounded down, and a frame at least: so is the length of a clip
        self._window = max(1, int(data.duration * data.sampling_rate) // data.hop_length)
        frames = [frame_count(clip) for clip in clips]
        if augment:
            clips, frames = self._long_enough(clips, frames)
        self.clips = clips
        self._speakers = speaker_ids(clips, config)
        self._clock = ENCODERS[data.speech_encoder].clock
        shared = [clip in others for clip in clips]
        if augment:  # a window is left, whatever is held out
            held_out = [held_out_frames(n, rate) * both for n, both in zip(frames, shared, strict=True)]
            self._ranges = [(min(b, n - self._window), n) for b, n in zip(held_out, frames, strict=True)]
        else:
            self._ranges = [
                (0, validation_frames(n, rate, both)) for n, both in zip(frames, shared, strict=True)
            ]
        n_items = [(end - begin) // self._window if augment else 1 for begin, end in self._ranges]
        self._items = [i for i, n in enumerate(n_items) for _ in range(n)]
        self.lengths = [self._window if augment else self._ranges[i][1] for i in self._items]
        self._memory: list[_DiffusionClip] | None = None
        if cache is not None:
            dtype = torch.float16 if config.train.cache_fp16 else torch.float32
            self._memory = [self._read(clip).to(cache, dtype) for clip in clips]

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, item: Item) -> DiffusionBatch:
        """Item (epoch, number) as a batch of one."""
        epoch, number = item
        index = self._items[number]
        clip = self._read(self.clips[index]) if self._memory is None else self._memory[index]
        version, train = clip.versions[0], self.config.train
        start, stop = self._ranges[index]
        units = clip.units[0]
        n_frames = version.mel.shape[-1]
        if self.augment:
            rng = np.random.default_rng((train.seed, epoch, number))
            units = clip.units[sample_unit_variant(len(clip.units), train.perturb_ratio, rng)]
            if rng.random() < _AUGMENTED_SHARE:
                version = clip.versions[-1]
            start = int(rng.integers(start, stop - self._window + 1))
            stop = start + self._window
        units = align_units(units, n_frames, self.config.data, self._clock, start, stop).float()
        if self.augment and train.unit_noise:
            units = add_noise(units.cpu(), train.unit_noise, rng).to(units.device)
        has_shift = self.config.model.use_pitch_aug
        return DiffusionBatch(
            units=units.unsqueeze(0),
            f0=clip.f0[start:stop].unsqueeze(0) * 2 ** (version.shift / 12),
            volume=version.volume[start:stop].unsqueeze(0),
            speaker=torch.tensor([self._speakers[index]], device=units.device),
            aug_shift=torch.tensor([version.shift], device=units.device) if has_shift else None,
            mel=version.mel[:, start:stop].float().unsqueeze(0),
        )

    def _long_enough(self, clips: list[Path], frames: list[int]) -> tuple[list[Path], list[int]]:
        data, long = self.config.data, [n >= self._window for n in frames]
        if not any(long):
            longest = max(frames) * data.hop_length / data.sampling_rate
            raise FeatureError(
                f"all {len(clips)} training clips are shorter than data.duration, {data.duration:g} s; lower "
                f"it below {longest:.2f}, the longest, or use longer clips"
            )
        short = [str(clip) for clip, is_long in zip(clips, long, strict=True) if not is_long]
        if short:
            more = f" and {len(short) - _NAMED} more" if len(short) > _NAMED else ""
            logger.warning(
                "%d of %d training clips are shorter than data.duration, %g s, and left out: %s%s",
                *(len(short), len(clips), data.duration, ", ".join(short[:_NAMED]), more),
            )
        return list(compress(clips, long)), list(compress(frames, long))

    def _read(self, wav: Path) -> _DiffusionClip:
        data, model = self.config.data, self.config.model
        advice = " (data.encoder_out_channels); run preprocess_flist_config.py and preprocess_hubert_f0.py "
        units = load_unit_variants(wav, self.augment, data.ssl_dim, advice + "--use_diff again")
        mel = features.load_mel(wav)
        if len(mel) != data.n_mels:
            raise FeatureError(f"{wav}: its mel has {len(mel)} bins, the model needs {data.n_mels}")
        versions = [_MelVersion(mel, features.load_volume(wav), 0.0)]
        if self.augment and model.use_pitch_aug:
            versions.append(_MelVersion(*features.load_augmented(wav)))
        clip = _DiffusionClip(units, features.load_f0(wav)[0], tuple(versions))
        lengths = {len(clip.f0), *(v.mel.shape[-1] for v in versions), *(len(v.volume) for v in versions)}
        if len(lengths) > 1:
            raise FeatureError(
                f"{wav}: its features have {' and '.join(map(str, sorted(lengths)))} frames; run "
                "preprocess_hubert_f0.py --use_diff again"
            )
        return clip
