"""An accompaniment of sampled instruments: bass, piano, guitar, strings and drums, from a seed.

Needs ``pip install tinysoundfont pretty_midi_fluidsynth``; of the second only its General MIDI SoundFont
(TimGM6mb, GPL) is read.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from modules.common.errors import MissingWeightsError

RATE = 44100
PROGRESSIONS = ((0, 7, 9, 5), (0, 9, 5, 7), (9, 5, 0, 7), (0, 5, 7, 5))  # roots of four bars, semitones
MINOR = (2, 4, 9, 11)  # roots above the key with minor chords
# channel: program, pan (0 left, 127 right), volume
INSTRUMENTS = {0: (33, 64, 105), 1: (0, 44, 85), 2: (25, 96, 80), 3: (48, 30, 60)}
DRUMS = 9
_BLOCK = 512


def sound_font() -> Path:
    """The SoundFont of the installed package."""
    spec = find_spec("pretty_midi_fluidsynth")
    if spec is None or not spec.submodule_search_locations or find_spec("tinysoundfont") is None:
        raise MissingWeightsError(
            "the band needs instruments; get them with: pip install tinysoundfont pretty_midi_fluidsynth"
        )
    return Path(spec.submodule_search_locations[0]) / "TimGM6mb.sf2"


def play(seconds: float, seed: int = 0, key: int = 0) -> np.ndarray:
    """Accompaniment (T, 2), float32, of ``seconds`` in a major ``key`` (semitones above C)."""
    import tinysoundfont

    rng = np.random.default_rng(seed)
    synth = tinysoundfont.Synth(gain=-6, samplerate=RATE)
    font = synth.sfload(str(sound_font()))
    for channel, (program, pan, volume) in INSTRUMENTS.items():
        synth.program_select(channel, font, 0, program)
        synth.control_change(channel, 10, pan)
        synth.control_change(channel, 7, volume)
    synth.program_select(DRUMS, font, 128, 0, True)
    events = sorted(_events(seconds, rng, key), key=lambda event: event[0])
    pieces, now = [], 0
    for time, channel, note, velocity in [*events, (seconds, DRUMS, 0, 0)]:
        wanted = min(round(time * RATE), round(seconds * RATE)) - now
        while wanted > 0:
            n = min(wanted, _BLOCK)
            pieces.append(np.frombuffer(bytes(synth.generate(n)), np.float32).reshape(-1, 2).copy())
            now, wanted = now + n, wanted - n
        if velocity:
            synth.noteon(channel, note, velocity)
        else:
            synth.noteoff(channel, note)
    return np.concatenate(pieces)[: round(seconds * RATE)]


def _events(seconds: float, rng: np.random.Generator, key: int) -> list[tuple[float, int, int, int]]:
    """Notes as (s, channel, note, velocity), velocity 0 at their end."""
    beat = 60 / rng.uniform(84, 126)
    roots = PROGRESSIONS[rng.integers(len(PROGRESSIONS))]
    events: list[tuple[float, int, int, int]] = []

    def note(time: float, length: float, channel: int, pitch: int, velocity: float) -> None:
        velocity = int(np.clip(velocity + rng.normal(0, 6), 20, 120))
        events.extend([(time, channel, pitch, velocity), (time + length, channel, pitch, 0)])

    for bar in range(int(seconds / (4 * beat)) + 1):
        root = roots[bar % 4]
        third = 3 if root in MINOR else 4
        chord = [key + root + step for step in (0, third, 7)]
        start = bar * 4 * beat
        for pitch in chord:
            note(start, 3.9 * beat, 3, 60 + pitch % 12, 55)
        for eighth in range(8):
            time = start + eighth * beat / 2
            note(time, 0.45 * beat, 0, 36 + (key + root) % 12, 90)
            note(time, 0.5 * beat, 2, 52 + chord[eighth % 3] % 12, 70 if eighth % 2 else 85)
            note(time, 0.2 * beat, DRUMS, 42, 60)
            if eighth % 2 == 0:
                for pitch in chord:
                    note(time, 0.9 * beat, 1, 60 + pitch % 12, 60)
                note(time, 0.2 * beat, DRUMS, 36 if eighth % 4 == 0 else 38, 95)
    return events
