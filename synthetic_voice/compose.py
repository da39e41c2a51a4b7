"""Random melodies within a singer's range."""

from __future__ import annotations

import numpy as np

from modules.common.errors import ConfigError
from synthetic_voice.phones import SCHWA
from synthetic_voice.score import MusicScore, Note, Syllable, check_seconds, generator
from synthetic_voice.singers import SyntheticSinger, find_singer

SHORTEST_SONG = 1.0  # s
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9))
STEPS = (-4, -3, -2, -1, 0, 1, 2, 3, 4)  # scale degrees from one note to the next
STEP_WEIGHTS = np.array([1, 2, 6, 12, 4, 12, 6, 2, 1]) / 46
BEATS = (0.5, 1.0, 1.5, 2.0, 3.0)
BEAT_WEIGHTS = np.array([10, 8, 2, 3, 1]) / 24
SHORTEST_NOTE = 0.26  # s
PHRASE = 6.0  # s, longest phrase with its rest, before a variation by a fifth
MELISMA = 0.12  # share of notes that hold the vowel of the one before
CODA = 0.18  # share of syllables that end in a consonant
VOWELS = ("a", "e", "i", "o", "u", SCHWA)
VOWEL_WEIGHTS = np.array([6, 4, 4, 4, 4, 2]) / 24
# voiced sounds more often: melodies consist mostly of vowels and liquids
ONSETS = (*"mnlrwyzvbdg", "") * 2 + ("s", "sh", "f", "h", "p", "t", "k")
CODAS = ("n", "m", "l", "s", "t")


def compose(singer: str | SyntheticSinger, seconds: float, seed: int = 0) -> MusicScore:
    """Random song of ``seconds`` that suits ``singer``.

    Phrases of 2 to 8 s (shorter in a short clip) over one scale, rests of 0.35
    to 1.1 s between them, mostly small intervals, and an end on the key note
    or its fifth. Raises ConfigError for an unknown singer, less than 1 s or a negative seed.
    """
    singer = find_singer(singer)
    check_seconds(seconds)
    if seconds < SHORTEST_SONG:
        raise ConfigError(f"a song of {seconds:g} s is too short; give {SHORTEST_SONG:g} s or more")
    rng = generator(seed, 0)
    beat = 60 / rng.uniform(70, 125)
    key = int(rng.integers(12))
    scale = SCALES[rng.integers(len(SCALES))]
    ladder = [p for p in range(singer.low, singer.high + 1) if (p - key) % 12 in scale]
    lead = min(rng.uniform(0.25, 0.6), 0.25 * seconds)
    last = seconds - min(rng.uniform(0.2, 0.4), 0.1 * seconds)
    count = int(np.ceil((last - lead) / PHRASE))
    shares = rng.uniform(0.8, 1.2, count)
    bounds = lead + (last - lead) * np.cumsum([0.0, *(shares / shares.sum())])
    notes: list[Note] = []
    rung = int(rng.normal(0.5, 0.12) * len(ladder))
    for number, (start, end) in enumerate(zip(bounds[:-1], bounds[1:], strict=True), 1):
        rest = 0.0 if number == count else rng.uniform(0.35, 1.1)
        lengths = _rhythm(end - rest - start, beat, rng)
        times = [round(float(t), 3) for t in start + np.cumsum([0.0, *lengths])]
        for index in range(len(lengths)):
            rung = _next_rung(rung, len(ladder), rng)
            if index == len(lengths) - 1:
                homes = [r for r, pitch in enumerate(ladder) if (pitch - key) % 12 in (0, 7)]
                rung = min(homes, key=lambda home: abs(home - rung))
            held = index > 0 and rng.random() < MELISMA
            syllable = None if held else _syllable(rng)
            notes.append(Note(times[index], times[index + 1], float(ladder[rung]), syllable))
    return MusicScore(tuple(notes), seconds)


def _rhythm(room: float, beat: float, rng: np.random.Generator) -> list[float]:
    """Note lengths in s that fill ``room``."""
    lengths: list[float] = []
    while room > 0:
        length = max(SHORTEST_NOTE, beat * float(rng.choice(BEATS, p=BEAT_WEIGHTS)))
        lengths.append(room if room - length < 1.5 * SHORTEST_NOTE else length)
        room -= lengths[-1]
    return lengths


def _next_rung(rung: int, count: int, rng: np.random.Generator) -> int:
    """Next step of the ladder, pulled to the middle of the range."""
    middle = (count - 1) / 2
    weights = STEP_WEIGHTS * np.exp(-np.sign(np.array(STEPS)) * (rung - middle) / count)
    step = int(rng.choice(STEPS, p=weights / weights.sum()))
    return int(np.clip(rung + step, 0, count - 1))


def _syllable(rng: np.random.Generator) -> Syllable:
    onset = str(rng.choice(ONSETS))
    coda = (str(rng.choice(CODAS)),) if rng.random() < CODA else ()
    return Syllable((onset,) if onset else (), str(rng.choice(VOWELS, p=VOWEL_WEIGHTS)), coda)
