"""Analysis of recordings before step 1: length, loudness, pitch range and problems.

The steps report on their results; this finds bad recordings while they can still be
replaced.
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
from modules.dsp.audio import open_audio, read_mono
from modules.dsp.f0 import F0_MAX, F0_MIN
from modules.f0_predictor import F0_PREDICTORS

UNREADABLE, SILENT, CLIPPED, STEREO = "unreadable", "silent", "clipped", "stereo"
TOO_SHORT, TOO_LONG = "too short", "too long"
PROBLEMS = (UNREADABLE, SILENT, CLIPPED, TOO_SHORT, TOO_LONG, STEREO)

_TRACKED = 60.0  # s of a recording whose F0 is tracked
_READ = 600.0  # s of a recording that are analysed; longer ones will be sliced in any case
_PREDICTOR = "pm"  # by far the fastest, and accurate enough for a range
_HOP = 512
_SERIAL = 8  # number of recordings up to which one process is faster
F0_EDGES = F0_MIN * 2.0 ** (np.arange(0, 12 * 5 * np.log2(F0_MAX / F0_MIN) + 1) / 60)  # Hz; bins of 20 cents


@dataclass
class Recording:
    """One analysed recording."""

    path: Path
    speaker: str
    seconds: float = 0.0
    sampling_rate: int = 0  # Hz
    channels: int = 0
    lufs: float | None = None  # loudness; None if it is silent
    # number of voiced frames in each bin of F0_EDGES
    pitches: np.ndarray = field(default_factory=lambda: np.zeros(len(F0_EDGES) - 1, int))
    problems: list[str] = field(default_factory=list)  # of PROBLEMS
    reason: str = ""  # for which it is unreadable


def analyse_recordings(recordings: Sequence[tuple[str, Path]]) -> Iterator[Recording]:
    """Analyse recordings (speaker, path) in parallel; yields them as they finish."""
    yield from run(_analyse, recordings, 1 if len(recordings) <= _SERIAL else 0)


def _analyse(task: tuple[str, Path]) -> Recording:
    """Analyse one recording; an unreadable one holds the reason."""
    resample, lists = map(importlib.import_module, ("resample", "preprocess_flist_config"))  # their limits
    speaker, path = task
    recording = Recording(path, speaker)
    try:
        with open_audio(path) as file:
            recording.sampling_rate, recording.channels = file.samplerate, file.channels
            recording.seconds = file.frames / file.samplerate
            audio = read_mono(file, int(_READ * file.samplerate))
    except (AudioError, OSError) as error:
        recording.problems, recording.reason = [UNREADABLE], str(error).replace(str(path), path.name)
        return recording
    if not np.isfinite(audio).all():
        recording.problems = [UNREADABLE]
        recording.reason = f"{path.name} contains NaN or infinite samples; export it again"
        return recording
    facts = measure(audio, recording.sampling_rate) if len(audio) else {"lufs": None, "clipped": False}
    recording.lufs = facts["lufs"]
    found = {
        SILENT: resample.is_silent(resample.centre(audio, recording.sampling_rate)),
        CLIPPED: facts["clipped"],
        TOO_SHORT: recording.seconds < lists.SHORTEST,
        TOO_LONG: recording.seconds > resample.LONGEST,
        STEREO: recording.channels > 1,
    }
    recording.problems = [name for name, is_so in found.items() if is_so]
    if not found[SILENT]:
        rate = recording.sampling_rate
        predictor = F0_PREDICTORS.build(_PREDICTOR, sampling_rate=rate, hop_length=_HOP)
        f0, uv = predictor.predict(audio[: int(_TRACKED * rate)])
        recording.pitches = np.histogram(f0[uv > 0], F0_EDGES)[0]
    return recording


@dataclass(frozen=True)
class SpeakerSummary:
    """All recordings of one speaker."""

    speaker: str
    clips: int  # number of readable recordings
    minutes: float  # their total duration
    seconds: tuple[float, float, float]  # shortest, median and longest
    f0: tuple[float, float, float] | None  # 5th, 50th and 95th percentile, Hz; None if nothing is voiced
    lufs: float | None  # median loudness; None if all are silent
    problems: dict[str, int]  # number of recordings with each of PROBLEMS


def summarize(recordings: Sequence[Recording]) -> list[SpeakerSummary]:
    """Summary of each speaker, by name."""
    summaries = []
    for speaker in sorted({recording.speaker for recording in recordings}):
        own = [recording for recording in recordings if recording.speaker == speaker]
        readable = [recording for recording in own if UNREADABLE not in recording.problems]
        lengths = [recording.seconds for recording in readable] or [0.0]
        loudness = [recording.lufs for recording in readable if recording.lufs is not None]
        summaries.append(
            SpeakerSummary(
                speaker=speaker,
                clips=len(readable),
                minutes=sum(lengths) / 60,
                seconds=(min(lengths), statistics.median(lengths), max(lengths)),
                f0=percentiles(np.sum([recording.pitches for recording in own], axis=0)),
                lufs=statistics.median(loudness) if loudness else None,
                problems={name: sum(name in recording.problems for recording in own) for name in PROBLEMS},
            )
        )
    return summaries


def percentiles(pitches: np.ndarray) -> tuple[float, float, float] | None:
    """5th, 50th and 95th percentile, Hz, of voiced frames counted in bins of F0_EDGES; None without any."""
    if not pitches.any():
        return None
    centres = np.sqrt(F0_EDGES[1:] * F0_EDGES[:-1])
    low, middle, high = np.quantile(centres, (0.05, 0.5, 0.95), weights=pitches, method="inverted_cdf")
    return float(low), float(middle), float(high)
