"""Batches of the tracks, which stay on disk: a second of a voice in three copies takes 100 kB."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from modules.common.errors import ConfigError
from tools.starter.encoder.augment import crop, disturb
from tools.starter.encoder.losses import N_SPEAKERS, Batch
from tools.starter.encoder.tracks import Track, read_track, voices
from tools.starter.phones import UNKNOWN

# probability of each source; those that are missing leave theirs to the others
SHARES = {"kokoro": 0.55, "asterisk": 0.2, "festvox": 0.07, "gcin": 0.04, "flite": 0.08, "espeak": 0.06}
LENGTHS = (100, 150, 200, 300)  # units of the clips of a batch: 2 to 6 s
BATCH = 7 * 200  # units of a batch, in each of two voices
_EVERY = 7  # units of which the teacher's averages are taken: one of so many


class Corpus:
    """All voices with spectra and teacher's units, those that are held out apart.

    ``known`` are the speakers that the classifier knows already, in its order.

    Raises:
        ConfigError: There are none, or too many.
    """

    def __init__(self, work: Path, known: Sequence[str] = ()) -> None:
        tracks = [read_track(work, folder.name) for folder in voices(work)]
        ready = [track for track in tracks if track is not None and track.teacher is not None]
        self.held = [track for track in ready if track.source == "held"]
        self.tracks = [track for track in ready if track.source != "held"]
        new = [track.speaker for track in self.tracks if track.speaker not in known]
        self.speakers = [*known, *new]
        if not self.tracks or len(self.speakers) > N_SPEAKERS:
            raise ConfigError(
                f"{work} has {len(self.tracks)} voices with spectra and teacher's units, not 1 to "
                f"{N_SPEAKERS}; run the steps copies and teacher first"
            )
        lengths = dict.fromkeys(SHARES, 0)  # of all voices of a source, which are drawn by their length
        for track in self.tracks:
            lengths[track.source] += len(track.phones)
        chances = [SHARES[track.source] * len(track.phones) / lengths[track.source] for track in self.tracks]
        self._chances = np.array(chances) / sum(chances)
        languages = [name.split("-")[1] for name in self.speakers]
        self._rivals = {
            language: torch.tensor(
                [other == language for other in languages] + [False] * (N_SPEAKERS - len(languages))
            )
            for language in languages
        }
        sampled = [_teacher(track)[::_EVERY].float() for track in self.tracks]
        self._means = [units.mean(0) for units in sampled]
        squares = [(units - mean).square().mean(0) for units, mean in zip(sampled, self._means, strict=True)]
        self.deviation = torch.stack(squares).mean(0).sqrt()  # (C,), of the teacher's units

    @property
    def seconds(self) -> float:
        """Length of all voices, without copies."""
        return sum(len(track.phones) for track in self.tracks) / 50

    def batch(self, rng: np.random.Generator) -> Batch:
        """Draw a batch."""
        n_units = int(rng.choice(LENGTHS))
        clips, speakers, rivals, means = [], [], [], []
        for index in rng.choice(len(self.tracks), BATCH // n_units, p=self._chances):
            track = self.tracks[index]
            piece = int(rng.integers(len(track.bounds) - 1))
            first, last = track.bounds[piece : piece + 2].tolist()
            pair = rng.choice(len(track.mels), 2, replace=False)
            mels = torch.stack([track.mels[copy, 2 * first : 2 * last] for copy in pair.tolist()])
            clips.append(crop(mels, track.phones[first:last], _teacher(track)[first:last], n_units, rng))
            number = self.speakers.index(track.speaker)
            speakers.append([number if copy == 0 else UNKNOWN for copy in pair])
            rivals.append(self._rivals[track.language])
            means.append(self._means[index])
        mel, weight = disturb(
            torch.stack([clip.mels for clip in clips], 1).flatten(0, 1),
            torch.stack([clip.reference for clip in clips], 1).flatten(0, 1),
            rng,
        )
        return Batch(
            mel,
            weight,
            torch.stack([clip.phones for clip in clips]),
            torch.stack([clip.teacher - mean for clip, mean in zip(clips, means, strict=True)]),
            torch.tensor(speakers).T.flatten(),
            torch.stack(rivals).repeat(2, 1),
        )


def _teacher(track: Track) -> Tensor:
    assert track.teacher is not None
    return track.teacher
