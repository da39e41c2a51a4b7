"""Training of a base model that takes its speakers from recordings (models.ReferenceGlow).

Every clip of a batch comes with a reference: pieces of other clips of its speaker. The
model never sees which speaker it is, so that it learns to do with any. Half of the clips are
of speakers that nobody recorded: formants and pitch are scaled together, in the clip and in
its reference, as by another tape speed (Ko et al., Audio augmentation for speech recognition, 2015).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models import ReferenceGlow
from modules.config import Config, DataConfig
from modules.dataset.features import load_mel
from modules.dsp.mel_basis import mel_centres
from training.data.dataset import GlowBatch, GlowDataset
from training.data.sampler import Item
from training.tasks.glow import GlowTask

PIECE, N_PIECES = 86, 5  # frames of a piece, 1 s, and number of pieces in a reference
MADE_UP = 0.5  # share of clips of speakers that nobody recorded
LARGEST = 0.18  # logarithm of the largest scale: 3 semitones


class ReferenceDataset(GlowDataset):
    """Windows of clips, whose speaker is a reference (1, M, R) instead of an id.

    References come from the training clips: for validation these are ``others``.
    """

    def __init__(
        self, clips: list[Path], config: Config, *, augment: bool, others: Collection[Path] = ()
    ) -> None:
        super().__init__(clips, config, augment=augment, others=others)
        self._voices: dict[str, list[Path]] = defaultdict(list)
        for clip in clips if augment else sorted(others):
            self._voices[clip.parent.name].append(clip)
        self._mels: dict[Path, Tensor] = {}

    def __getitem__(self, item: Item) -> GlowBatch:
        """Item (epoch, number) as a batch of one."""
        epoch, number = item
        clip = self.clips[self._items[number]]
        rng = np.random.default_rng((self.config.train.seed, 1, epoch, number))
        others = [path for path in self._voices[clip.parent.name] if path != clip] or [clip]
        chosen = (others[index] for index in rng.integers(len(others), size=N_PIECES))
        reference = torch.cat([draw_piece(self._mel(path), rng) for path in chosen], 1)
        batch = super().__getitem__(item)
        if self.augment and rng.random() < MADE_UP:
            scale = float(np.exp(rng.uniform(-LARGEST, LARGEST)))
            places = scaled_bands(scale, self.config.data)
            reference = stretched(reference, places)
            batch = replace(batch, mel=stretched(batch.mel, places), f0=batch.f0 * scale)
        return replace(batch, speaker_id=reference[None])

    def _speaker_ids(self) -> list[int]:
        return [0] * len(self.clips)  # not known: more speakers may come while a run goes on

    def _mel(self, clip: Path) -> Tensor:
        if clip not in self._mels:
            self._mels[clip] = load_mel(clip).half()
        return self._mels[clip].float()


def scaled_bands(scale: float, data: DataConfig) -> Tensor:
    """For every band of a mel (M,) the band that was there before all frequencies were scaled."""
    centres = mel_centres(data.n_mels, data.f_min, data.f_max)
    return torch.from_numpy(np.interp(centres / scale, centres, np.arange(len(centres)))).float()


def stretched(mel: Tensor, places: Tensor) -> Tensor:
    """Log-mel (..., M, N), interpolated at the bands ``places`` (M,)."""
    below = places.long().clamp(max=mel.size(-2) - 2)
    return torch.lerp(mel[..., below, :], mel[..., below + 1, :], (places - below)[:, None])


def draw_piece(mel: Tensor, rng: np.random.Generator) -> Tensor:
    """A random second (M, PIECE) of a log-mel (M, N), which is repeated if it is shorter."""
    n_times = -(-PIECE // mel.size(1))
    start = int(rng.integers(0, n_times * mel.size(1) - PIECE + 1))
    return mel.repeat(1, n_times)[:, start : start + PIECE]


class ReferenceTask(GlowTask):
    """Training of :class:`models.ReferenceGlow`."""

    speaker_tables = ()
    network = ReferenceGlow
    data_set = ReferenceDataset
    model: ReferenceGlow
