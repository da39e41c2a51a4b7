"""A text as a song: vowels held for the notes of a random melody.

synthetic_voice composes the melody and adds what a singer does with it: glides from note to
note, scoops at the start of phrases, vibrato.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np

from synthetic_voice.compose import compose
from synthetic_voice.expression import GRID_RATE, pitch_curve
from synthetic_voice.score import MusicScore, Note, Syllable
from synthetic_voice.singers import SINGERS, SyntheticSinger
from tools.starter import phones
from tools.starter.speech.synthesizer import CURVE_RATE, FRAME, LEAD, Prosody, timed

_RANGE = 7  # semitones to either side; further from speech, Kokoro's voices break
_SONG = 60.0  # s of melody, at the end of which another begins
_VOWELS = {phones.INDEX[vowel] for vowel in phones.VOWELS}
_SILENT = phones.INDEX[phones.SILENCE]
_VOICELESS = [_SILENT, *(phones.INDEX[phone] for phone in phones.VOICELESS)]
_ANY = Syllable((), "a")  # of scores of which only the pitch is used
NoteList = list[tuple[float, float]]  # length in s and MIDI pitch


def sung(letters: str, spoken: Prosody, rng: np.random.Generator) -> Prosody:
    """How letters are sung that are ``spoken`` so; the range is that of the speech, or a little higher."""
    voiced = spoken.pitch[spoken.pitch > 60]
    middle = 69 + 12 * np.log2(float(np.median(voiced)) / 440) if len(voiced) else 57.0
    middle += rng.uniform(-1, 3)
    styles = list(SINGERS.values())
    singer = replace(
        styles[rng.integers(len(styles))], low=round(middle - _RANGE), high=round(middle + _RANGE)
    )
    seed = int(rng.integers(2**31))
    durations, notes = hold(letters, spoken.durations, _melody(singer, seed))
    pitch = melody_curve(letters, durations, notes, singer, seed)
    return Prosody(durations, pitch, stretch(spoken.energy, spoken.durations, durations))


def hold(
    letters: str, durations: np.ndarray, melody: Iterator[NoteList]
) -> tuple[np.ndarray, dict[int, NoteList]]:
    """Durations (N + 2,) with one vowel of each syllable held for its notes, and these by its place."""
    result = np.round(durations).astype(np.int64)
    notes: dict[int, NoteList] = {}
    for vowel, following in pairwise([*_syllables(letters, result), len(result) - 1]):
        notes[vowel] = next(melody)
        wanted = (
            round(sum(length for length, _ in notes[vowel]) / FRAME) - result[vowel + 1 : following].sum()
        )
        result[vowel] = max(result[vowel], wanted)
    return result, notes


def melody_curve(
    letters: str, durations: np.ndarray, notes: dict[int, NoteList], singer: SyntheticSinger, seed: int
) -> np.ndarray:
    """Pitch (2 F,) in Hz for the F frames of ``durations``, 0 where there is no voice."""
    n_values = 2 * int(durations.sum())
    seconds = n_values / CURVE_RATE
    ends = (np.cumsum(durations) * FRAME - LEAD).round(3)
    pauses = [place for place, letter in enumerate(letters, 1) if phones.LETTERS.get(letter) == _SILENT]
    breaks = [float(ends[place - 1]) for place in pauses] + [float(ends[-1])]
    starts = [max(0.0, float(ends[vowel - 1])) for vowel in notes]
    written: list[Note] = []
    for sung_here, start, following in zip(notes.values(), starts, [*starts, seconds][1:], strict=True):
        end = min([following, *(time for time in breaks if time > start)])
        shares = np.cumsum([0.0, *(length for length, _ in sung_here)])
        times = (start + (end - start) * shares / shares[-1]).round(4).tolist()
        for number, (first, last) in enumerate(pairwise(times)):
            written.append(Note(first, last, sung_here[number][1], None if number else _ANY))
    grid = pitch_curve(MusicScore(tuple(written), seconds), singer, seed)
    times = (np.arange(n_values) + 0.5) / CURVE_RATE
    pitch = np.interp(times * GRID_RATE, np.arange(len(grid)), grid)
    phone_ends, classes = timed(letters, durations)
    here = np.append(classes, _SILENT)[np.searchsorted(phone_ends, times, side="right")]
    return np.where(np.isin(here, _VOICELESS), 0.0, pitch)


def stretch(curve: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """``curve`` (2 F,) for durations ``before``, the part of each letter stretched to those ``after``."""
    old, new = (2 * np.cumsum([0, *durations]) for durations in (before, after))
    lead = LEAD * CURVE_RATE
    places = np.interp(np.arange(new[-1]) + 0.5 + lead, new, old) - lead
    return np.interp(places, np.arange(len(curve)) + 0.5, curve)


def _syllables(letters: str, durations: np.ndarray) -> Iterator[int]:
    """Places in ``durations`` of the vowels that are held: the longest of neighbours."""
    group: list[int] = []
    for place, letter in enumerate(letters + " ", start=1):
        if phones.LETTERS.get(letter) in _VOWELS:
            group.append(place)
        elif group and letter not in phones.BEFORE:
            yield max(group, key=lambda index: durations[index])
            group = []


def _melody(singer: SyntheticSinger, seed: int) -> Iterator[NoteList]:
    """Yield the notes of one syllable after another, indefinitely."""
    while True:
        found: list[NoteList] = []
        for note in compose(singer, _SONG, seed).notes:
            if note.syllable is not None:
                found.append([])
            found[-1].append((note.end - note.start, note.pitch))
        yield from found
        seed += 1
