"""Melodies as MIDI files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from modules.common.errors import ConfigError, sanitize
from modules.common.files import replacing
from modules.dsp.notes import MelodyNote

_TICKS = 480  # per quarter note of 0.5 s
_TOGETHER = 0.01  # s; notes that begin closer than that are a chord
_DRUMS = 9  # channel
LARGEST = 4 << 20  # bytes of a MIDI file


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
