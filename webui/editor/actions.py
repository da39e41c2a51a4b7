"""Edits as the page asks for them: a name, a range of frames, and what else each of them needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from inference.pitch import edit
from inference.pitch.editable import EditableSong
from inference.pitch.files import HIGHEST, LOWEST, read_f0
from inference.pitch.history import PitchChange, PitchHistory
from inference.pitch.scale import detect_scale, parse_scale
from modules.common.errors import ConfigError
from modules.dsp.f0 import transpose
from modules.dsp.semitones import to_semitones
from webui.uploads import temporary_folder

FACTOR = 4.0  # of vibrato and drift, at most
_PITCHES = to_semitones(np.array([LOWEST, HIGHEST]))

Change = Callable[[np.ndarray], np.ndarray]  # of a curve (N,), Hz


@dataclass(frozen=True)
class EditRequest:
    """One edit of a song, with the names and numbers that the page sent."""

    song: EditableSong
    given: Mapping[str, Any]

    @property
    def span(self) -> tuple[int, int]:
        """First and last (excluded) frame of the range; raises ConfigError."""
        n_frames = len(self.song.f0)
        first, last = (int(self.number(name, 0, n_frames)) for name in ("first", "last"))
        if first >= last:
            raise ConfigError("select a part of the song first")
        return first, last

    def number(self, name: str, low: float, high: float) -> float:
        """A number within limits; raises ConfigError."""
        value = self.given.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ConfigError(f"{name} must be a number from {low:g} to {high:g}, not {str(value)[:40]}")
        return float(value)

    def text(self, name: str) -> str:
        """A text; raises ConfigError."""
        value = self.given.get(name)
        if not isinstance(value, str):
            raise ConfigError(f"{name} must be text, not {str(value)[:40]}")
        return value


def _draw(request: EditRequest) -> Change:
    points = request.given.get("points")
    try:
        frames, pitch = np.array(points, np.float64).T
    except (TypeError, ValueError):
        raise ConfigError("points must be pairs of frame and semitone") from None
    inside = (frames >= 0) & (frames < len(request.song.f0))
    if not (inside & np.isfinite(pitch)).all() or not (np.diff(frames) > 0).all():
        raise ConfigError("the frames of points must ascend within the song")
    pitch = (pitch - request.song.key).clip(*_PITCHES)  # drawn where it will sound
    return partial(edit.draw, frames=frames, pitch=pitch)


def _move(request: EditRequest) -> Change:
    first, last = request.span
    semitones = request.number("semitones", -48, 48)
    rate = request.song.frame_rate

    def move(f0: np.ndarray) -> np.ndarray:
        moved = edit.shift(f0, rate, first, last, semitones)
        return np.where(moved > 0, moved.clip(LOWEST, HIGHEST), 0.0)

    return move


def _snap(request: EditRequest) -> Change:
    strength = request.number("strength", 0, 1)
    scale, song = parse_scale(request.text("scale")), request.song

    def snap(f0: np.ndarray) -> np.ndarray:
        heard = transpose(f0, song.key)  # the scale is that of the result
        tuned = edit.tune(heard, song.frame_rate, strength, scale or detect_scale(heard))
        return np.where(tuned == heard, f0, transpose(tuned, -song.key))

    return _within(request, snap)


def _octaves(request: EditRequest) -> Change:
    first, last = request.span
    return _within(
        request, partial(edit.mend_octaves, frame_rate=request.song.frame_rate, first=first, last=last)
    )


def _shape(request: EditRequest) -> Change:
    vibrato, drift = (request.number(name, 0, FACTOR) for name in ("vibrato", "drift"))
    rate = request.song.frame_rate
    return _within(request, partial(edit.reshape, frame_rate=rate, vibrato=vibrato, drift=drift))


def _reset(request: EditRequest) -> Change:
    return _within(request, lambda f0: request.song.f0)


def _voice(request: EditRequest) -> Change:
    first, last = request.span
    return partial(edit.voice, first=first, last=last)


def _unvoice(request: EditRequest) -> Change:
    first, last = request.span
    return partial(edit.unvoice, first=first, last=last)


def _read(request: EditRequest) -> Change:
    with temporary_folder() as folder:
        path = Path(folder) / "f0.csv"
        path.write_text(request.text("text"), encoding="utf-8")
        try:
            found = read_f0(path, len(request.song.f0), request.song.frame_rate)
        except ConfigError as error:
            raise ConfigError(str(error).replace(str(path), "the pitch file")) from None
    if np.isnan(found).all():
        raise ConfigError("none of the file's times lies within the song")
    return lambda f0: np.where(np.isnan(found), f0, found)


def _within(request: EditRequest, change: Change) -> Change:
    first, last = request.span
    return lambda f0: edit.in_range(f0, first, last, change)


ACTIONS: dict[str, Callable[[EditRequest], Change]] = {
    "draw": _draw,
    "move": _move,
    "snap": _snap,
    "octaves": _octaves,
    "shape": _shape,
    "voice": _voice,
    "unvoice": _unvoice,
    "reset": _reset,
    "read": _read,
}


def apply_edit(song: EditableSong, history: PitchHistory, given: Mapping[str, Any]) -> PitchChange | None:
    """Do what a request of the page asks for; None if that changes nothing.

    ``given`` has an ``action``, "undo", "redo" or one of ``ACTIONS``, and for most of them the frames
    ``first`` to ``last`` (excluded). Pitches of ``points`` are those of the result, MIDI numbers.

    Raises:
        ConfigError: There is no such action, or what it needs is missing or wrong.
    """
    action = given.get("action")
    if action in ("undo", "redo"):
        return history.undo() if action == "undo" else history.redo()
    if not isinstance(action, str) or action not in ACTIONS:
        raise ConfigError(
            f"there is no edit {str(action)[:40]!r}; those are: {', '.join(ACTIONS)}, undo, redo"
        )
    return history.edit(ACTIONS[action](EditRequest(song, given)))
