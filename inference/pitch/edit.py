"""Edits of a pitch curve: towards notes or a scale, octaves mended, vibrato and drift scaled.

Every edit keeps what is unvoiced unvoiced, and what lies outside its range as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from inference.pitch.scale import Scale
from modules.dsp.f0 import repair_octaves, transpose
from modules.dsp.notes import MelodyNote, find_notes
from modules.dsp.semitones import runs, smooth, to_hz, to_semitones

_CENTRE = 0.35  # s: slower movement is drift, quicker is vibrato
_GLIDE = 0.06  # s, over which a correction begins and ends
_NEAR = 0.15  # s beside a note that still belong to it
_AROUND = 3.0  # s beside a range, whose octave it is given


def in_range(f0: np.ndarray, first: int, last: int, edit: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """``f0`` (N,) of which frames ``first`` to ``last`` (excluded) are those of ``edit(f0)``."""
    changed = f0.copy()
    changed[first:last] = edit(f0)[first:last]
    return changed


def tune(f0: np.ndarray, frame_rate: float, strength: float, scale: Scale) -> np.ndarray:
    """Curve ``f0`` (N,), Hz, 0 where unvoiced, with every note drawn to the nearest one of ``scale``.

    ``strength`` 0 leaves all as it is; 1 puts notes on the scale and removes their drift. Vibrato
    and glides stay.
    """
    found = find_notes(f0, frame_rate)
    notes = [MelodyNote(note.start, note.end, scale.nearest(note.pitch)) for note in found]
    return sing_notes(f0, frame_rate, notes, strength)


def sing_notes(
    f0: np.ndarray, frame_rate: float, notes: Sequence[MelodyNote], strength: float = 1.0
) -> np.ndarray:
    """Curve ``f0`` (N,), Hz, 0 where unvoiced, drawn to ``notes``, in order of time.

    Vibrato and glides stay, and so does what is over 0.15 s from any note.
    """
    if strength == 0 or not notes:
        return f0
    pitch = to_semitones(f0)
    voiced, shift = np.isfinite(pitch), np.zeros(len(f0))
    for (first, last), note in zip(_territories(notes, len(f0), frame_rate), notes, strict=True):
        for start, stop in runs(voiced[first:last]):
            inside = slice(first + start, first + stop)
            shift[inside] = note.pitch - smooth(pitch[inside], _CENTRE, frame_rate)
    for start, stop in runs(voiced):
        shift[start:stop] = smooth(shift[start:stop], _GLIDE, frame_rate)
    return to_hz(pitch + strength * shift)


def _territories(notes: Sequence[MelodyNote], n_frames: int, frame_rate: float) -> list[tuple[int, int]]:
    """First and last (excluded) frame that belong to each note, at most half-way to the next."""
    ends, begins = [0.0], []
    for note, after in zip(notes, notes[1:], strict=False):
        middle = (note.end + after.start) / 2
        begins.append(min(note.end + _NEAR, middle))
        ends.append(max(after.start - _NEAR, middle))
    ends[0], begins = max(0.0, notes[0].start - _NEAR), [*begins, notes[-1].end + _NEAR]
    return [
        (min(n_frames, round(start * frame_rate)), min(n_frames, round(stop * frame_rate)))
        for start, stop in zip(ends, begins, strict=True)
    ]


def mend_octaves(f0: np.ndarray, frame_rate: float, first: int, last: int) -> np.ndarray:
    """Curve ``f0`` (N,), Hz, with each stretch in frames ``first`` to ``last`` in the octave around it.

    Its surroundings are 3 s on either side of the range; without pitch there, the rest of the song.
    """
    f0 = repair_octaves(f0, frame_rate)
    pitch, near = to_semitones(f0), round(_AROUND * frame_rate)
    around = np.concatenate([pitch[max(0, first - near) : first], pitch[last : last + near]])
    if not np.isfinite(around).any():
        around = np.concatenate([pitch[:first], pitch[last:]])
    if not np.isfinite(around).any():
        return f0
    home = np.nanmedian(around)
    f0 = f0.copy()
    for start, stop in runs(np.isfinite(pitch[first:last])):
        inside = slice(first + start, first + stop)
        octaves = np.round((home - np.median(pitch[inside])) / 12)
        f0[inside] = transpose(f0[inside], 12 * octaves)
    return f0


def reshape(f0: np.ndarray, frame_rate: float, vibrato: float = 1.0, drift: float = 1.0) -> np.ndarray:
    """Curve ``f0`` (N,), Hz, with vibrato and drift of every note times these factors; 1 keeps them."""
    pitch = to_semitones(f0)
    changed = pitch.copy()
    for note in find_notes(f0, frame_rate):
        inside = slice(round(note.start * frame_rate), round(note.end * frame_rate))
        centre = smooth(pitch[inside], _CENTRE, frame_rate)
        changed[inside] = note.pitch + drift * (centre - note.pitch) + vibrato * (pitch[inside] - centre)
    return to_hz(changed)


def draw(f0: np.ndarray, frames: np.ndarray, pitch: np.ndarray) -> np.ndarray:
    """``f0`` (N,), Hz, with a line through ``pitch`` (P,), MIDI numbers, at ``frames`` (P,), which ascend.

    It is voiced from its first frame to its last, and straight in semitones between two points.
    """
    first, last = int(np.ceil(frames[0])), int(np.floor(frames[-1]))
    inside = np.arange(max(0, first), min(len(f0) - 1, last) + 1)
    changed = f0.copy()
    changed[inside] = to_hz(np.interp(inside, frames, pitch))
    return changed


def shift(f0: np.ndarray, frame_rate: float, first: int, last: int, semitones: float) -> np.ndarray:
    """``f0`` (N,), Hz, with frames ``first`` to ``last`` (excluded) moved by ``semitones``.

    Where singing goes on at either end, it glides there, over 60 ms around it.
    """
    pitch = to_semitones(f0)
    moved = np.zeros(len(f0))
    moved[first:last] = semitones
    for start, stop in runs(np.isfinite(pitch)):
        moved[start:stop] = smooth(moved[start:stop], _GLIDE, frame_rate)
    return np.where(moved == 0, f0, to_hz(pitch + moved))


def unvoice(f0: np.ndarray, first: int, last: int) -> np.ndarray:
    """``f0`` (N,), Hz, with frames ``first`` to ``last`` (excluded) unvoiced."""
    changed = f0.copy()
    changed[first:last] = 0.0
    return changed


def voice(f0: np.ndarray, first: int, last: int) -> np.ndarray:
    """``f0`` (N,), Hz, with frames ``first`` to ``last`` (excluded) voiced, in a line between what is sung.

    Without anything sung in the song, nothing changes.
    """
    pitch = to_semitones(f0)
    sung = np.flatnonzero(np.isfinite(pitch))
    if len(sung) == 0:
        return f0
    gaps = first + np.flatnonzero(~np.isfinite(pitch[first:last]))
    changed = f0.copy()
    changed[gaps] = to_hz(np.interp(gaps, sung, pitch[sung]))
    return changed
