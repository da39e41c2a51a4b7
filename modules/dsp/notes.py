"""Notes of a melody in its pitch curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from modules.dsp.semitones import runs, smooth, to_semitones

BRIEFEST = 0.08  # s of a note; a shorter one belongs to its neighbour
_CENTRE = 0.2  # s, over which vibrato is averaged
_LEAVE = 0.7  # semitones from a note at which another begins
_SAME = 0.5  # semitones; neighbours nearer to each other are one note


@dataclass(frozen=True)
class MelodyNote:
    """One sung note."""

    start: float  # s
    end: float  # s
    pitch: float  # MIDI number, 69 = 440 Hz


def find_notes(f0: np.ndarray, frame_rate: float) -> list[MelodyNote]:
    """Notes of the curve ``f0`` (N,), Hz, 0 where unvoiced: stretches that stay near one semitone.

    ``pitch`` is the median. The singer's own tuning, not 440 Hz, decides which semitone is near.
    """
    pitch = to_semitones(f0)
    voiced = pitch[np.isfinite(pitch)]
    tuning = np.angle(np.exp(2j * np.pi * voiced).mean()) / (2 * np.pi) if len(voiced) else 0.0
    least, notes = max(1, round(BRIEFEST * frame_rate)), list[MelodyNote]()
    for start, stop in runs(np.isfinite(pitch)):
        centre = smooth(pitch[start:stop], _CENTRE, frame_rate) - tuning
        for first, last in _steps(centre, least):
            first, last = start + first, start + last
            if notes and notes[-1].end == first / frame_rate:
                before = round(notes[-1].start * frame_rate)
                if abs(np.median(pitch[before:first]) - np.median(pitch[first:last])) < _SAME:
                    first = before
                    notes.pop()
            middle = float(np.median(pitch[first:last]))
            notes.append(MelodyNote(first / frame_rate, last / frame_rate, middle))
    return notes


def _steps(centre: np.ndarray, least: int) -> list[tuple[int, int]]:
    """Stretches of ``centre`` (L,), semitones, that stay near one of them, ``least`` frames or longer."""
    steps, current = np.empty(len(centre)), float(np.round(centre[0]))
    for i, value in enumerate(centre):
        if abs(value - current) > _LEAVE:
            current = float(np.round(value))
        steps[i] = current
    edges = [0, *(np.flatnonzero(np.diff(steps)) + 1).tolist(), len(steps)]
    while len(edges) > 2:
        lengths = np.diff(edges)
        short = int(lengths.argmin())
        if lengths[short] >= least:
            break
        levels = [float(steps[edge]) for edge in edges[:-1]]
        beside = [i for i in (short - 1, short + 1) if 0 <= i < len(levels)]
        nearest = min(beside, key=lambda i: abs(levels[i] - levels[short]))
        steps[edges[short] : edges[short + 1]] = levels[nearest]
        del edges[max(short, nearest)]
    return [(a, b) for a, b in zip(edges[:-1], edges[1:], strict=True) if b - a >= min(least, len(centre))]
