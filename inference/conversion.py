"""What goes into a conversion and what comes out: targets, segments, results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cluster.blend import Blender
from inference.key import KeyAdvice, KeyChoice
from inference.speaker_mix import SpeakerMix
from inference.stitch import Chunk

MIXED = "spk_mix"  # target name of a speaker mix, in file names and tags
Progress = Callable[[float, float], None]  # seconds done, and in total; 0, 0 while the song is read
Report = Callable[[float], None]  # share of a segment that is done, 0 to 1


@dataclass(frozen=True, eq=False)
class Segment:
    """Model inputs for one slice and its context, on the recording's frame grid."""

    first: int  # number of its first frame; negative before the recording begins
    units: np.ndarray  # (D, N)
    f0: np.ndarray  # (N,), target pitch, Hz, without gaps
    uv: np.ndarray  # (N,), 1 where voiced
    volume: np.ndarray  # (N,), loudness of the source, root mean square
    speaker: int | np.ndarray  # target speaker: an id, or the shares (N, S) of all speakers
    join: int | None = None  # frame at which it takes over from the slice before; None: it is the first
    lead: int = 0  # frames at its beginning that only the models need: they are not vocoded
    diffusion_units: np.ndarray | None = None  # (D, N), for a diffusion model that aligns units otherwise

    @property
    def n_frames(self) -> int:
        """N."""
        return len(self.f0)


@dataclass(frozen=True, eq=False)
class TargetVoice:
    """Target of a conversion: one speaker, optionally with cluster or index, or a speaker mix."""

    name: str  # of the speaker, or MIXED
    speaker_id: int = 0
    blender: Blender | None = None  # moves units towards the speaker's own
    mix: SpeakerMix | None = None  # replaces the single speaker

    def shares(self, first: int, n_frames: int, total: int) -> int | np.ndarray:
        """:attr:`Segment.speaker` of some frames of a recording of ``total`` frames."""
        return self.speaker_id if self.mix is None else self.mix.shares(first, n_frames, total)


@dataclass(frozen=True)
class PitchFiles:
    """Files that a song's pitch comes from and goes to: see --f0, --midi, --write_f0 and --write_midi."""

    f0: Path | None = None
    midi: Path | None = None
    write_f0: Path | None = None
    write_midi: Path | None = None


@dataclass(frozen=True, eq=False)
class ConversionResult:
    """One converted recording."""

    path: Path  # the file written
    seconds: float  # its duration
    real_time_factor: float  # seconds of computation per second of audio
    f0: np.ndarray  # (N,), pitch of the *source*, Hz, 0 where unvoiced; frame i at i * hop_length samples
    uv: np.ndarray  # (N,), 1 where voiced
    advice: KeyAdvice | None  # the key that would fit the speaker's trained range; None: it fits, or unknown
    chunks: tuple[Chunk, ...]  # the slices it was rendered in
    sung: np.ndarray  # (N,), its pitch after edits, before the key: Hz, 0 where unvoiced
    key: float = 0.0  # semitones, by which it was transposed
    choice: KeyChoice | None = None  # why, if the key was to be chosen
    start: float = 0.0  # s of the source at which it begins: 0 but for a preview
