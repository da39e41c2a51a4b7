"""Cached features as what the diffusion model learns from, the same on every run.

A clip has two versions: as it was sung, and its pitch-augmented pair (mel moved
by some semitones, volume of a louder or softer copy). Mel, volume, F0 and the
shift of one version stay together, whether they come from memory or from files.
As in training/data/dataset.py, all chance in an item follows from (seed, epoch, item).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from diffusion.config import DiffusionConfig
from modules.common.errors import FeatureError
from modules.dataset import features
from modules.dsp.align import align_units
from training.data.dataset import VALIDATION_SECONDS, add_noise, load_unit_variants, sample_unit_variant
from training.data.sampler import Item

logger = logging.getLogger(__name__)

_AUGMENTED_SHARE = 0.5  # of the items
_NAMED = 5  # clips that are too short


@dataclass(frozen=True)
class DiffusionBatch:
    """Windows of one length.

    Attributes:
        units: (B, D, N), stretched to mel frames.
        f0: (B, N) Hz, filled through unvoiced frames.
        volume: (B, N) RMS.
        speaker: (B,) ids.
        aug_shift: (B,) semitones that mel and F0 are shifted by; None for a
            model that knows no shift.
        mel: (B, M, N), natural log.
    """

    units: Tensor
    f0: Tensor
    volume: Tensor
    speaker: Tensor
    aug_shift: Tensor | None
    mel: Tensor

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.mel)

    def to(self, device: torch.device) -> DiffusionBatch:
        """Return the batch on ``device``."""
        moved = {k: v.to(device, non_blocking=True) for k, v in vars(self).items() if v is not None}
        return replace(self, **moved)

    def pin_memory(self) -> DiffusionBatch:
        """Return the batch in memory that a GPU copies from while it computes, unless it is there already."""
        return replace(
            self,
            **{k: v.pin_memory() for k, v in vars(self).items() if v is not None and v.device.type == "cpu"},
        )

    def model_inputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor]:
        """Return the arguments of ``Unit2Mel.forward`` that describe the windows."""
        return self.units, self.f0, self.volume, self.speaker, self.aug_shift, self.mel


@dataclass(frozen=True)
class _MelVersion:
    """What belongs together: a mel, its volume and how many semitones both are away from the recording."""

    mel: Tensor  # (M, N)
    volume: Tensor  # (N,)
    shift: float


@dataclass(frozen=True)
class _DiffusionClip:
    units: Tensor  # (1 + K, D, U): the clip's own, then its perturbed copies
    f0: Tensor  # (N,), as sung
    plain: _MelVersion
    augmented: _MelVersion | None

    def kept(self, device: torch.device, half: bool) -> _DiffusionClip:
        """Return the clip on ``device``; units and mels, nearly all of it, in half precision if ``half``."""

        def large(values: Tensor) -> Tensor:
            return values.to(device, torch.float16 if half else torch.float32)

        def version(of: _MelVersion | None) -> _MelVersion | None:
            return of and replace(of, mel=large(of.mel), volume=of.volume.to(device))

        plain = version(self.plain)
        assert plain is not None
        return _DiffusionClip(large(self.units), self.f0.to(device), plain, version(self.augmented))


class DiffusionDataset(Dataset[DiffusionBatch]):
    """Random windows of ``data.duration``; or, for validation, the first 20 s of the clips as they are.

    A clip gives as many items per epoch as windows fit into it, so long clips
    are heard as often as short ones, second for second.

    Args:
        clips: Paths of the wavs; a clip's folder names its speaker.
        config: Window length, augmentation, speakers.
        augment: Windows and augmented pairs; off for validation.
        cache: Where all clips are kept; None reads them when they are asked for.

    Attributes:
        clips: Those that are used.
        lengths: Frames of each item.

    Raises:
        ConfigError: A clip's folder is no speaker of the configuration.
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
    ) -> None:
        data = config.data
        self.config, self.augment = config, augment
        seconds = data.duration if augment else VALIDATION_SECONDS
        # rounded down, and a frame at least: so is the length of a clip
        self._window = max(1, int(seconds * data.sampling_rate) // data.hop_length)
        frames = [len(features.load_f0(_with_features(clip, "f0"))[0]) for clip in clips]
        if augment:
            clips, frames = self._long_enough(clips, frames)
        self.clips = clips
        self._speakers = [config.speaker_id(clip.parent.name) for clip in clips]
        self._items = [i for i, n in enumerate(frames) for _ in range(n // self._window if augment else 1)]
        self.lengths = [min(frames[i], self._window) for i in self._items]
        self._memory: list[_DiffusionClip] | None = None
        if cache is not None:
            half = config.train.cache_fp16
            self._memory = [self._read(clip).kept(cache, half) for clip in clips]

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, item: Item) -> DiffusionBatch:
        """Return an item, by epoch and number, as a batch of one."""
        epoch, number = item
        index = self._items[number]
        clip = self._read(self.clips[index]) if self._memory is None else self._memory[index]
        version, start, train = clip.plain, 0, self.config.train
        units = clip.units[0]
        n_frames = version.mel.shape[-1]
        if self.augment:
            rng = np.random.default_rng((train.seed, epoch, number))
            units = clip.units[sample_unit_variant(len(clip.units), train.perturb_ratio, rng)]
            if rng.random() < _AUGMENTED_SHARE and clip.augmented is not None:
                version = clip.augmented
            start = int(rng.integers(0, n_frames - self._window + 1))
        stop = min(n_frames, start + self._window)
        units = align_units(units, n_frames, self.config.data.unit_interpolate_mode, start, stop).float()
        if self.augment and train.unit_noise:
            units = add_noise(units.cpu(), train.unit_noise, rng).to(units.device)
        knows_shift = self.config.model.use_pitch_aug
        return DiffusionBatch(
            units=units.unsqueeze(0),
            f0=clip.f0[start:stop].unsqueeze(0) * 2 ** (version.shift / 12),
            volume=version.volume[start:stop].unsqueeze(0),
            speaker=torch.tensor([self._speakers[index]], device=units.device),
            aug_shift=torch.tensor([version.shift], device=units.device) if knows_shift else None,
            mel=version.mel[:, start:stop].float().unsqueeze(0),
        )

    def _long_enough(self, clips: list[Path], frames: list[int]) -> tuple[list[Path], list[int]]:
        kept = [(clip, n) for clip, n in zip(clips, frames, strict=True) if n >= self._window]
        short = [str(clip) for clip, n in zip(clips, frames, strict=True) if n < self._window]
        seconds = self.config.data.duration
        if not kept:
            hop, rate = self.config.data.hop_length, self.config.data.sampling_rate
            raise FeatureError(
                f"all {len(clips)} training clips are shorter than data.duration, {seconds:g} s; lower it "
                f"below {max(frames) * hop / rate:.2f}, the longest, or use longer clips"
            )
        if short:
            more = f" and {len(short) - _NAMED} more" if len(short) > _NAMED else ""
            logger.warning(
                "%d of %d training clips are shorter than data.duration, %g s, and left out: %s%s",
                *(len(short), len(clips), seconds, ", ".join(short[:_NAMED]), more),
            )
        return [clip for clip, _ in kept], [n for _, n in kept]

    def _read(self, wav: Path) -> _DiffusionClip:
        data, model = self.config.data, self.config.model
        pitch_aug = self.augment and model.use_pitch_aug
        _with_features(wav, "units", "mel", "volume", *(("aug_mel", "aug_volume") if pitch_aug else ()))
        units, mel = load_unit_variants(wav, self.augment), features.load_mel(wav)
        if units.shape[1] != data.ssl_dim:
            raise FeatureError(
                f"{wav}: its units have {units.shape[1]} channels, the model wants {data.ssl_dim} "
                "(data.encoder_out_channels); run preprocess_flist_config.py and "
                "preprocess_hubert_f0.py --use_diff again"
            )
        if len(mel) != data.n_mels:
            raise FeatureError(f"{wav}: its mel has {len(mel)} bins, the model wants {data.n_mels}")
        clip = _DiffusionClip(
            units=units,
            f0=features.load_f0(wav)[0],
            plain=_MelVersion(mel, features.load_volume(wav), 0.0),
            augmented=_MelVersion(*features.load_augmented(wav)) if pitch_aug else None,
        )
        lengths = {len(clip.f0)}
        for version in (clip.plain, clip.augmented):
            if version is not None:
                lengths |= {version.mel.shape[-1], len(version.volume)}
        if len(lengths) > 1:
            raise FeatureError(
                f"{wav}: its features have {' and '.join(map(str, sorted(lengths)))} frames; run "
                "preprocess_hubert_f0.py --use_diff again"
            )
        return clip


def collate(items: list[DiffusionBatch]) -> DiffusionBatch:
    """Return one batch of batches of one, of equal lengths."""
    shifts = [item.aug_shift for item in items if item.aug_shift is not None]
    return DiffusionBatch(
        units=torch.cat([item.units for item in items]),
        f0=torch.cat([item.f0 for item in items]),
        volume=torch.cat([item.volume for item in items]),
        speaker=torch.cat([item.speaker for item in items]),
        aug_shift=torch.cat(shifts) if shifts else None,
        mel=torch.cat([item.mel for item in items]),
    )


def _with_features(wav: Path, *kinds: str) -> Path:
    """Return ``wav``; raises FeatureError that says how to make what is missing."""
    for kind in kinds:
        path = features.feature_path(wav, kind)
        if not path.exists():
            raise FeatureError(f"{path} is missing; run preprocess_hubert_f0.py --use_diff")
    return wav
