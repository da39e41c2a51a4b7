"""Speaker mix: tracks of speaker weights over time, checked, as shares of each frame.

Each rule that a track breaks has its own message; nothing is corrected
silently. Times are shares of the song and become frames of the *result*, so
the sampling rate of the source does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inference.speaker_mix.file import SEGMENT, read_mix_file
from modules.common.errors import ConfigError
from modules.common.text import normalize_name

_SAME = 1e-6  # times that differ by less are equal
_SILENT = "[[0., 1., 0., 0.]]"


class SpeakerMix:
    """The shares of all speakers in every frame of a song.

    Args:
        tracks: Segments (start, end, value at start, value at end) for each
            speaker, by id or name; times are shares of the song, 0 to 1.
        spk: Ids by name, as in config.json; empty: the speakers have no names.
        n_speakers: S of the model; None: as many as ``spk`` needs. Speakers
            without a name get no share.
        source: File of the tracks, for messages.

    Raises:
        ConfigError: A speaker is unknown, missing or listed twice; a track has no
            segments; a segment is not a list of four finite numbers, has a time
            outside 0 to 1, does not end after it starts, or has a value below 0;
            the first does not start at 0, the last not end at 1, or one not start
            where the one before ends. Names the speaker and the segment.
    """

    def __init__(
        self,
        tracks: Mapping[Any, Any] | Sequence[tuple[Any, Any]],
        spk: Mapping[str, int],
        n_speakers: int | None = None,
        source: str | Path = "the mix",
    ) -> None:
        self.n_speakers = n_speakers or max(spk.values(), default=0) + 1
        self.names = {number: name for name, number in spk.items()} or {
            number: str(number) for number in range(self.n_speakers)
        }
        self._spk = {normalize_name(name): number for name, number in spk.items()}
        self._tracks: dict[int, np.ndarray] = {}
        for key, segments in tracks.items() if isinstance(tracks, Mapping) else tracks:
            number = self._speaker_id(key, source)
            where = f"{source}: {self._called(number)}"
            if number in self._tracks:
                raise ConfigError(f"{where} is listed twice")
            self._tracks[number] = _checked(segments, where)
        for number in sorted(self.names.keys() - self._tracks.keys()):
            raise ConfigError(
                f"{source}: {self._called(number)} is not listed; every speaker of the model must be, one "
                f"without a share as {number}: {_SILENT}"
            )

    @classmethod
    def from_file(cls, path: str | Path, spk: Mapping[str, int], n_speakers: int | None = None) -> SpeakerMix:
        """Read a mix: ``spk_mix_map = {...}`` as in spkmix.py, the same without a name, or JSON.

        Raises:
            ConfigError: See :func:`inference.speaker_mix.file.read_mix_file` and :class:`SpeakerMix`.
        """
        return cls(read_mix_file(path), spk, n_speakers, path)

    def shares(self, first_frame: int, n_frames: int, total_frames: int) -> np.ndarray:
        """Shares (N, S), float32, of the speakers in N frames of the result, each with a sum of 1.

        Frames before the song repeat its first, those after it its last. A segment begins at
        frame ``int(total_frames * start)``, and its last frame is one step short of the value
        at its end, as published.
        """
        frames = np.arange(first_frame, first_frame + n_frames).clip(0, max(0, total_frames - 1))
        values = np.zeros((n_frames, self.n_speakers))
        for number, track in self._tracks.items():
            starts = (total_frames * track[:, 0]).astype(int)
            ends = np.append(starts[1:], total_frames)
            # of segments that begin at one frame, the last is the one that is not empty
            which = np.searchsorted(starts, frames, side="right") - 1
            passed = (frames - starts[which]) / np.maximum(ends - starts, 1)[which]
            low, high = track[which, 2], track[which, 3]
            values[:, number] = low * (1 - passed) + high * passed
        known = sorted(self.names)
        highest = values.max(1, keepdims=True)
        values /= np.where(highest > 0, highest, 1.0)  # a sum of very large values would be infinite
        values[:, known] = np.where(highest > 0, values[:, known], 1.0)
        return (values / values.sum(1, keepdims=True)).astype(np.float32)

    def _speaker_id(self, key: Any, source: str | Path) -> int:
        if isinstance(key, str) and (name := normalize_name(key)) in self._spk:
            return self._spk[name]
        number = int(key) if isinstance(key, str) and key.isdecimal() and len(key) < 10 else key
        if isinstance(number, int) and not isinstance(number, bool) and number in self.names:
            return number
        known = ", ".join(self._called(number) for number in sorted(self.names))
        raise ConfigError(f"{source}: the model has no speaker {_short(key)}; it knows {known}")

    def _called(self, number: int) -> str:
        name = self.names[number]
        return f"speaker {number}" if name == str(number) else f"speaker {name} ({number})"


def _checked(segments: Any, where: str) -> np.ndarray:
    """Check a track and return it as (K, 4), float64; raises ConfigError for the segment and rule."""
    if not isinstance(segments, list | tuple) or any(not isinstance(s, list | tuple) for s in segments):
        raise ConfigError(f"{where}: a track is a list of segments, each {SEGMENT}, not {_short(segments)}")
    if not segments:
        raise ConfigError(f"{where} has no segments; a speaker without a share has {_SILENT}")
    before = 0.0
    for i, segment in enumerate(segments, 1):
        place = f"{where}, segment {i}"
        if len(segment) != 4 or not all(_is_number(value) for value in segment):
            raise ConfigError(f"{place}: it must be four numbers, {SEGMENT}, not {_short(segment)}")
        start, end, *values = segment
        place += f" {_short(segment)}"
        if not 0 <= start <= 1 or not 0 <= end <= 1:
            raise ConfigError(f"{place}: times are shares of the song, from 0, its beginning, to 1, its end")
        if start >= end:
            raise ConfigError(f"{place}: it must end after it starts")
        if min(values) < 0:
            raise ConfigError(f"{place}: a value must not be below 0")
        if i == 1 and start > _SAME:
            raise ConfigError(f"{place}: the first segment must start at 0")
        if i > 1 and abs(start - before) > _SAME:
            raise ConfigError(f"{place}: it must start at {before:g}, where segment {i - 1} ends")
        before = end
    if before < 1 - _SAME:
        raise ConfigError(f"{place}: the last segment must end at 1")
    track = np.array(segments, np.float64)
    track[0, 0] = 0.0
    return track


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        return False


def _short(value: Any) -> str:
    """``value`` as the user wrote it, or its beginning."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits; lists in lists
        return "that"
    return text if len(text) <= 60 else f"{text[:57]}..."
