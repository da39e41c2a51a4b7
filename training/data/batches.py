"""What both data sets share: batches of tensors, and the augmentation of units."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from modules.common.errors import ConfigError, FeatureError
from modules.config.shared import ConfigFile
from modules.dataset import features

VALIDATION_SECONDS = 20  # of a clip; the memory of attention grows with the square of the length
_SPLIT = 10  # of a clip in both lists, one part in so many validates
_LEAST = 0.5  # s; a shorter part says nothing

B = TypeVar("B", bound="TensorBatch")


@dataclass(frozen=True)
class TensorBatch:
    """A batch whose fields are tensors, (B,) or (B, ..., N), or None."""

    def __len__(self) -> int:
        return len(next(iter(self._tensors().values())))

    def to(self: B, device: torch.device) -> B:
        """The batch on ``device``."""
        return replace(self, **{k: v.to(device, non_blocking=True) for k, v in self._tensors().items()})

    def pin_memory(self: B) -> B:
        """The batch in memory that a GPU copies from while it computes; what is on a GPU stays there."""
        pinned = {k: v.pin_memory() for k, v in self._tensors().items() if v.device.type == "cpu"}
        return replace(self, **pinned)

    def _tensors(self) -> dict[str, Tensor]:
        return {name: value for name, value in vars(self).items() if value is not None}


def collate(items: list[B]) -> B:
    """One batch of batches of one, padded with zeros to the longest."""
    fields: dict[str, Any] = {}
    for name, first in items[0]._tensors().items():
        tensors = [getattr(item, name) for item in items]
        if first.ndim == 1:
            fields[name] = torch.cat(tensors)
        else:
            longest = max(tensor.shape[-1] for tensor in tensors)
            fields[name] = first.new_zeros(len(items), *first.shape[1:-1], longest)
            for row, tensor in zip(fields[name], tensors, strict=True):
                row[..., : tensor.shape[-1]] = tensor[0]
    return replace(items[0], **fields)


def speaker_ids(clips: list[Path], config: ConfigFile) -> list[int]:
    """Ids of the speakers of clips, which their folders name; raises ConfigError for an unknown one."""
    again = "run preprocess_flist_config.py again"
    if not config.spk and not all(clip.parent.name.isdecimal() for clip in clips):
        raise ConfigError(f"the configuration names no speakers (section spk); {again}")
    try:
        return [config.speaker_id(clip.parent.name) for clip in clips]
    except ConfigError as error:
        raise ConfigError(f"{error}. The file lists are of another data set; {again}") from None


def held_out_frames(n_frames: int, frame_rate: float) -> int:
    """Frames at the beginning of a clip in both lists that validate and are not trained on.

    They are a tenth of its ``n_frames``, up to 20 s; 0 if that is less than half a second.
    ``frame_rate`` is in Hz.
    """
    part = min(n_frames // _SPLIT, round(VALIDATION_SECONDS * frame_rate))
    return part if part >= _LEAST * frame_rate else 0


def validation_frames(n_frames: int, frame_rate: float, trained: bool) -> int:
    """Frames, from its first, of a clip that validation measures; ``trained``: the clip is in both lists."""
    held_out = held_out_frames(n_frames, frame_rate) if trained else 0
    return held_out or min(n_frames, round(VALIDATION_SECONDS * frame_rate))


def load_unit_variants(wav: Path, perturbed: bool, ssl_dim: int, advice: str) -> Tensor:
    """Units (1 + K, D, U) of a clip, and of its K copies in other voices if there are any.

    Copies are made for encoders whose units depend on the speaker as well as on
    the words: a model that is trained on them learns to ignore the speaker.

    Raises:
        FeatureError: D is not ``ssl_dim``; ends with ``advice``. Or a file is missing or broken.
    """
    units = features.load_units(wav).unsqueeze(0)
    if perturbed and features.feature_path(wav, "perturbed_units").exists():
        units = torch.cat([units, features.load_perturbed_units(wav)])
    if units.shape[1] != ssl_dim:
        found = f"{wav}: its units have {units.shape[1]} channels"
        raise FeatureError(f"{found}, the model needs {ssl_dim}{advice}")
    return units


def sample_unit_variant(n_variants: int, perturb_ratio: float, rng: np.random.Generator) -> int:
    """Index of the variant of :func:`load_unit_variants` that an item takes; 0 is the clip itself."""
    if n_variants > 1 and rng.random() < perturb_ratio:
        return int(rng.integers(1, n_variants))
    return 0


def add_noise(values: Tensor, deviation: float, rng: np.random.Generator) -> Tensor:
    """``values``, of any shape, with normal noise of this standard deviation."""
    if not deviation:
        return values
    # torch's generator is three times as fast as numpy's
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    return torch.randn(values.shape, generator=generator).mul_(deviation).add_(values)
