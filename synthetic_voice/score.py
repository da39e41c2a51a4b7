"""A score: notes and syllables, and the timeline of phones that follows from them.

The timeline does not depend on the singer: two singers of one score are parallel
data, aligned to the sample.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from modules.common.errors import ConfigError
from synthetic_voice.phones import BREATH, CONSONANTS, PHONES, SILENCE, VOWELS, spoken

LOWEST, HIGHEST = 28.0, 96.0  # MIDI notes, 41 to 2093 Hz
LONGEST_BREATH = 0.4  # s
BREATH_MARGIN = 0.1  # s of silence on both sides of a breath
SHORTEST_BREATH = 0.25  # s


class Phone(NamedTuple):
    """One phone on the timeline; times in s."""

    start: float
    end: float
    name: str


class Syllable(NamedTuple):
    """Consonants, a vowel, consonants."""

    onset: tuple[str, ...]
    vowel: str
    coda: tuple[str, ...] = ()


@dataclass(frozen=True)
class Note:
    """One note; its vowel starts at ``start``, the consonants before it.

    ``syllable`` None holds the vowel of the note before (a melisma).
    """

    start: float  # s
    end: float  # s
    pitch: float  # MIDI note, 69 is 440 Hz
    syllable: Syllable | None


@dataclass(frozen=True)
class MusicScore:
    """Notes in order of time within ``seconds``; notes that touch make one phrase.

    Raises:
        ConfigError: notes overlap, leave the clip or the singable range, or
            have sounds that are not in the phone table.
    """

    notes: tuple[Note, ...]
    seconds: float

    def __post_init__(self) -> None:
        check_seconds(self.seconds)
        end = 0.0
        for number, note in enumerate(self.notes, 1):
            where = f"note {number} ({note.start:g}-{note.end:g} s)"
            if not end <= note.start < note.end <= self.seconds:
                raise ConfigError(f"{where} overlaps the note before, or leaves the {self.seconds:g} s clip")
            if not LOWEST <= note.pitch <= HIGHEST:
                raise ConfigError(
                    f"{where} has pitch {note.pitch:g}; MIDI notes {LOWEST:g} to {HIGHEST:g} can be sung"
                )
            syllable = note.syllable
            if syllable is None:
                if number == 1 or note.start > end:
                    raise ConfigError(f"{where} has no syllable and no note before it to continue")
            elif syllable.vowel not in VOWELS or not {*syllable.onset, *syllable.coda} <= set(CONSONANTS):
                raise ConfigError(f"{where} has unknown sounds: {syllable}")
            end = note.end

    def transposed(self, semitones: float) -> MusicScore:
        """The same song higher by ``semitones``, with the same timeline."""
        notes = tuple(replace(note, pitch=note.pitch + semitones) for note in self.notes)
        return replace(self, notes=notes)

    @property
    def phrases(self) -> list[list[Note]]:
        """The notes, grouped where they touch."""
        groups: list[list[Note]] = []
        for note in self.notes:
            if groups and note.start == groups[-1][-1].end:
                groups[-1].append(note)
            else:
                groups.append([note])
        return groups

    @cached_property
    def phones(self) -> tuple[Phone, ...]:
        """The timeline: phones that tile [0, seconds] without a gap."""
        phones: list[Phone] = []
        now = 0.0
        for phrase in self.phrases:
            sung = list(_sung(phrase, room=phrase[0].start - now))
            phones += _rest(now, sung[0].start)
            phones += sung
            now = sung[-1].end
        end = [Phone(now, self.seconds, SILENCE)] if now < self.seconds else []
        return (*phones, *end)


def check_seconds(seconds: float) -> None:
    """Raise ConfigError unless ``seconds`` is a possible length of a clip."""
    if not (math.isfinite(seconds) and seconds > 0):
        raise ConfigError(f"a clip of {seconds} s cannot be sung; give a length above 0")


def generator(seed: int, stream: int) -> np.random.Generator:
    """Random numbers of one purpose (``stream``) for ``seed``."""
    if seed < 0:
        raise ConfigError(f"seed {seed} is negative; use 0 or more")
    return np.random.default_rng([seed, stream])


def _sung(phrase: list[Note], room: float) -> Iterator[Phone]:
    """Tile one phrase; its first consonants reach at most ``room`` s back."""
    spans: list[tuple[float, float, Syllable]] = []
    for note in phrase:
        if note.syllable is None:
            start, _, syllable = spans.pop()
            spans.append((start, note.end, syllable))
        else:
            spans.append((note.start, note.end, note.syllable))
    yield from _consonants(spans[0][2].onset, room, spans[0][0])
    for index, (start, end, syllable) in enumerate(spans):
        following = spans[index + 1][2].onset if index + 1 < len(spans) else ()
        # at least half of the span is vowel, however fast the words are
        tail = _consonants(syllable.coda + following, 0.5 * (end - start), end)
        yield Phone(start, tail[0].start if tail else end, syllable.vowel)
        yield from tail


def _consonants(written: tuple[str, ...], room: float, end: float) -> list[Phone]:
    """Consonants one after another, up to ``end``, shortened to fit into ``room`` s."""
    names = [name for consonant in written for name in spoken(consonant)]
    total = sum(PHONES[name].seconds for name in names)
    if not names or room <= 0:
        return []
    lengths = [min(1.0, room / total) * PHONES[name].seconds for name in names]
    edges = [end - sum(lengths[index:]) for index in range(len(names))] + [end]
    return [Phone(*span, name) for span, name in zip(pairwise(edges), names, strict=True)]


def _rest(start: float, end: float) -> Iterator[Phone]:
    """Tile a rest between phrases: silence, with a breath where there is time for one."""
    breath = min(LONGEST_BREATH, end - start - 2 * BREATH_MARGIN)
    if start > 0 and breath >= SHORTEST_BREATH:
        yield Phone(start, end - BREATH_MARGIN - breath, SILENCE)
        yield Phone(end - BREATH_MARGIN - breath, end - BREATH_MARGIN, BREATH)
        start = end - BREATH_MARGIN
    if end > start:
        yield Phone(start, end, SILENCE)
