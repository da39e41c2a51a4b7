"""Notes of a melody: found in a pitch curve, read from MIDI files, written to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference.pitch.semitones import runs, smooth, to_semitones
from modules.common.errors import ConfigError, sanitize
from modules.common.files import replacing

BRIEFEST = 0.08  # s of a note; a shorter one belongs to its neighbour
_CENTRE = 0.2  # s, over which vibrato is averaged
_LEAVE = 0.7  # semitones from a note at which another begins
_SAME = 0.5  # semitones; neighbours nearer to each other are one note
_TICKS = 480  # per quarter note of 0.5 s
_TOGETHER = 0.01  # s; notes that begin closer than that are a chord
_DRUMS = 9  # channel
LARGEST = 4 << 20  # bytes of a MIDI file


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


def read_midi(path: str | Path) -> list[MelodyNote]:
    """Read the melody of a MIDI file, all its tracks but drums; a note ends where the next begins.

    Raises:
        ConfigError: The file cannot be read, holds no note, or chords.
    """
    import mido

    path = Path(path)
    try:
        if path.stat().st_size > LARGEST:
            raise ConfigError(f"{path} is larger than {LARGEST >> 20} MB; a melody is smaller")
        file = mido.MidiFile(path, clip=True)
        found = sorted(_sounding(file), key=lambda note: note.start)
    except ConfigError:
        raise
    except OSError as error:
        reason = error.strerror or sanitize(str(error)) or "it ends too early"
        raise ConfigError(f"the MIDI file {path} cannot be read: {reason}") from None
    except Exception as error:  # mido's errors have no base class
        raise ConfigError(
            f"{path} is not a MIDI file, or damaged: {sanitize(str(error)) or type(error).__name__}"
        ) from None
    if not found:
        raise ConfigError(f"{path} holds no notes")
    notes: list[MelodyNote] = []
    for note in found:
        if notes and note.start - notes[-1].start < _TOGETHER:
            raise ConfigError(
                f"{path} has several notes at once at {note.start:.2f} s; export the melody alone"
            )
        if notes and notes[-1].end > note.start:
            notes[-1] = MelodyNote(notes[-1].start, note.start, notes[-1].pitch)
        notes.append(note)
    return notes


def _sounding(file: object) -> list[MelodyNote]:
    """Notes of a ``mido.MidiFile`` in the order in which they end."""
    now, notes = 0.0, list[MelodyNote]()
    began: dict[tuple[int, int], float] = {}
    for message in file:  # type: ignore[attr-defined]
        now += message.time
        if message.type not in ("note_on", "note_off") or message.channel == _DRUMS:
            continue
        key = message.channel, message.note
        if key in began:
            start = began.pop(key)
            if now > start:
                notes.append(MelodyNote(start, now, float(message.note)))
        if message.type == "note_on" and message.velocity:
            began[key] = now
    return notes


def write_midi(path: str | Path, notes: Sequence[MelodyNote]) -> None:
    """Write ``notes``, in order and rounded to semitones, as a MIDI file of one track. Raises OSError."""
    import mido

    track = mido.MidiTrack()
    events = []
    for note in notes:
        pitch = int(np.clip(round(note.pitch), 0, 127))
        events += [(note.start, 1, "note_on", pitch), (note.end, 0, "note_off", pitch)]
    before = 0
    for time, _, kind, pitch in sorted(events):
        now = round(time * 2 * _TICKS)
        track.append(mido.Message(kind, note=pitch, velocity=80, time=now - before))
        before = now
    file = mido.MidiFile(ticks_per_beat=_TICKS)
    file.tracks.append(track)
    with replacing(path) as temporary:
        file.save(temporary)
