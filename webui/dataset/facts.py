"""What recordings are like before anything is done with them, and what is wrong with them.

The steps report on what they made; this is about what they will be given, so
that a bad recording is seen, and heard, while it can still be made again.
"""

from __future__ import annotations

import importlib
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from modules.common.errors import AudioError
from modules.common.parallel import run
from modules.dataset.report import measure
from modules.dsp.audio import open_audio, read_samples, to_mono
from modules.dsp.f0 import F0_MAX, F0_MIN
from modules.f0_predictor import F0_PREDICTORS

UNREADABLE, SILENT, CLIPPED, STEREO = "unreadable", "silent", "clipped", "stereo"
TOO_SHORT, TOO_LONG = "too short", "too long"
PROBLEMS = (UNREADABLE, SILENT, CLIPPED, TOO_SHORT, TOO_LONG, STEREO)

_LISTENED = 60.0  # s of a recording whose F0 is tracked; its length and loudness are those of all of it
_READ = 600.0  # s of a recording that are looked at; longer ones will be sliced in any case
_PREDICTOR = "pm"  # by far the fastest, and good enough for a range
_HOP = 512
_SOLO = 8  # recordings that are not worth a second process
F0_EDGES = F0_MIN * 2.0 ** (np.arange(0, 12 * 5 * np.log2(F0_MAX / F0_MIN) + 1) / 60)  # Hz; bins of 20 cents


@dataclass
class Clip:
    """One recording.

    Attributes:
        path: Where it is.
        speaker: Whose it is.
        seconds: Its length.
        sampling_rate: Hz.
        channels: How many.
        lufs: Its loudness; None if it is silent.
        pitches: How many voiced frames lie in each bin of F0_EDGES.
        problems: Of PROBLEMS.
        reason: Why it cannot be read.
    """

    path: Path
    speaker: str
    seconds: float = 0.0
    sampling_rate: int = 0
    channels: int = 0
    lufs: float | None = None
    pitches: np.ndarray = field(default_factory=lambda: np.zeros(len(F0_EDGES) - 1, int))
    problems: list[str] = field(default_factory=list)
    reason: str = ""


@dataclass(frozen=True)
class Limits:
    """What is too quiet, too short or too long for the steps; theirs."""

    silence: float  # of full scale
    shortest: float  # s
    longest: float  # s


def limits() -> Limits:
    """Return the limits that the scripts have."""
    resample = importlib.import_module("resample")
    lists = importlib.import_module("preprocess_flist_config")
    return Limits(resample.SILENCE, lists.SHORTEST, resample.LONGEST)


def examine(recordings: Sequence[tuple[str, Path]]) -> Iterator[Clip]:
    """Yield what each of the recordings (speaker, path) is like, as they are finished."""
    jobs = [(speaker, path, limits()) for speaker, path in recordings]
    yield from run(look_at, jobs, 1 if len(jobs) <= _SOLO else 0)


def look_at(job: tuple[str, Path, Limits]) -> Clip:
    """Return what one recording (speaker, path) is like; one that cannot be read says why."""
    speaker, path, limit = job
    clip = Clip(path, speaker)
    try:
        with open_audio(path) as file:
            clip.sampling_rate, clip.channels = file.samplerate, file.channels
            clip.seconds = file.frames / file.samplerate
            audio = to_mono(read_samples(file, int(_READ * file.samplerate)))
    except (AudioError, OSError) as error:
        clip.problems, clip.reason = [UNREADABLE], str(error).replace(str(path), path.name)
        return clip
    if not np.isfinite(audio).all():
        clip.problems, clip.reason = (
            [UNREADABLE],
            f"{path.name} holds NaN or infinite samples; export it again",
        )
        return clip
    facts = measure(audio, clip.sampling_rate) if len(audio) else {"lufs": None, "clipped": False}
    clip.lufs = facts["lufs"]
    found = {
        SILENT: not len(audio) or np.abs(audio).max() < limit.silence,
        CLIPPED: facts["clipped"],
        TOO_SHORT: clip.seconds < limit.shortest,
        TOO_LONG: clip.seconds > limit.longest,
        STEREO: clip.channels > 1,
    }
    clip.problems = [name for name, is_so in found.items() if is_so]
    if not found[SILENT]:
        clip.pitches = _pitches(audio[: int(_LISTENED * clip.sampling_rate)], clip.sampling_rate)
    return clip


def _pitches(audio: np.ndarray, sampling_rate: int) -> np.ndarray:
    predictor = F0_PREDICTORS.build(_PREDICTOR, sampling_rate=sampling_rate, hop_length=_HOP)
    f0, uv = predictor.predict(audio)
    return np.histogram(f0[uv > 0], F0_EDGES)[0]


@dataclass(frozen=True)
class Voice:
    """One speaker's recordings.

    Attributes:
        speaker: The name.
        clips: How many can be read.
        minutes: Their length together.
        seconds: Shortest, median and longest.
        f0: 5th, 50th and 95th percentile, Hz; None if nothing is voiced.
        lufs: Their median loudness; None if all are silent.
        problems: How many have each of PROBLEMS.
    """

    speaker: str
    clips: int
    minutes: float
    seconds: tuple[float, float, float]
    f0: tuple[float, float, float] | None
    lufs: float | None
    problems: dict[str, int]


def summarize(clips: Sequence[Clip]) -> list[Voice]:
    """Return a line for each speaker, by name."""
    by_speaker: dict[str, list[Clip]] = {}
    for clip in sorted(clips, key=lambda clip: (clip.speaker, clip.path)):
        by_speaker.setdefault(clip.speaker, []).append(clip)
    voices = []
    for speaker, some in by_speaker.items():
        good = [clip for clip in some if UNREADABLE not in clip.problems]
        lengths = [clip.seconds for clip in good] or [0.0]
        loudness = [clip.lufs for clip in good if clip.lufs is not None]
        voices.append(
            Voice(
                speaker=speaker,
                clips=len(good),
                minutes=sum(lengths) / 60,
                seconds=(min(lengths), statistics.median(lengths), max(lengths)),
                f0=percentiles(np.sum([clip.pitches for clip in some], axis=0)),
                lufs=statistics.median(loudness) if loudness else None,
                problems={name: sum(name in clip.problems for clip in some) for name in PROBLEMS},
            )
        )
    return voices


def percentiles(pitches: np.ndarray) -> tuple[float, float, float] | None:
    """Return the 5th, 50th and 95th percentile, Hz, of voiced frames counted by F0_EDGES."""
    total = pitches.sum()
    if total == 0:
        return None
    centres = np.sqrt(F0_EDGES[1:] * F0_EDGES[:-1])
    low, middle, high = (
        float(centres[np.searchsorted(np.cumsum(pitches), share * total)]) for share in (0.05, 0.5, 0.95)
    )
    return low, middle, high
