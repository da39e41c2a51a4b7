"""Vibrato, glides and breaths of known truth: the synthetic singer's."""

from dataclasses import replace

import numpy as np
import pytest

from evaluation.conversions import Conversion, SourceSong
from evaluation.evaluators.base import EvalInputs
from evaluation.evaluators.expression import (
    Expression,
    find_vibrato,
    glide_spans,
    glide_speed,
    note_spans,
)
from synthetic_voice import SINGERS, MusicScore, Note, Syllable, sing
from synthetic_voice.performance import Performance

RATE = 44100
FRAMES = RATE / 512
MELODY = MusicScore(
    tuple(
        Note(0.3 + 1.5 * i, 0.3 + 1.5 * (i + 1), 60 + 3 * (i % 2), Syllable((), "a") if i == 0 else None)
        for i in range(4)
    ),
    7.0,
)


def perform(**style) -> Performance:
    singer = replace(SINGERS["tomas"], **style)
    return sing(MELODY, singer, 3)


def track(song: Performance) -> np.ndarray:
    return song.f0_at(np.arange(len(song.audio) // 512) * 512 / RATE)


@pytest.mark.parametrize("hertz", [4.5, 5.5, 7.0])
@pytest.mark.parametrize("cents", [20.0, 90.0])
def test_the_vibrato_of_a_sine_is_exact(hertz, cents):
    time = np.arange(round(1.2 * FRAMES)) / FRAMES
    f0 = 220 * 2 ** (cents / 1200 * np.sin(2 * np.pi * hertz * time + 0.3))
    found = find_vibrato(f0, [(0, len(f0))], FRAMES)[0]
    assert (found.rate, found.extent) == pytest.approx((hertz, cents), rel=0.01)
    assert find_vibrato(220 * np.ones(100), [(0, 100), (0, 10)], FRAMES) == [None, None]


@pytest.mark.parametrize(("hertz", "cents"), [(4.8, 40.0), (6.2, 80.0)])
def test_the_vibrato_of_a_singer_is_that_of_the_style(hertz, cents):
    f0 = track(perform(vibrato_rate=hertz, vibrato_depth=cents))
    found = [of for of in find_vibrato(f0, note_spans(f0, FRAMES), FRAMES) if of]
    assert len(found) >= 4
    assert np.mean([of.rate for of in found]) == pytest.approx(hertz, rel=0.06)  # each note is up to 6 % off
    assert np.mean([of.extent for of in found]) == pytest.approx(cents, rel=0.2)  # and 20 %


def test_a_slower_portamento_is_a_slower_glide():
    speeds = []
    for portamento in (0.06, 0.12, 0.24):
        f0 = track(perform(portamento=portamento, vibrato_depth=0.0))
        assert len(glide_spans(f0, FRAMES)) >= 3
        speeds.append(glide_speed(f0, glide_spans(f0, FRAMES), FRAMES))
    assert speeds[0] > 1.3 * speeds[1] > 1.3 * 1.3 * speeds[2]
    assert np.isnan(glide_speed(f0, [], FRAMES))


def measured(source: Performance, result: np.ndarray) -> dict:
    f0 = track(source)
    song = SourceSong("a", source.audio, RATE, f0.astype(np.float32), (f0 > 0).astype(np.float32))
    return Expression(EvalInputs()).evaluate(Conversion(song, result))


def test_a_result_that_sings_straight_has_lost_its_vibrato():
    source = perform(vibrato_depth=60.0)
    scores = measured(source, perform(vibrato_depth=0.0).audio)
    assert scores["vibrato_extent"].value < 0.2 * scores["vibrato_extent"].reference
    same = measured(source, source.audio)
    for name in ("vibrato_rate", "vibrato_extent", "glissando"):
        assert same[name].value == same[name].reference


def test_breaths_are_measured_against_the_voice():
    notes = tuple(Note(0.3 + i, 0.8 + i, 62, Syllable(("s",), "a")) for i in range(3))
    source = sing(MusicScore(notes, 3.5), "tomas", 1)
    times = (np.arange(len(source.audio)) + 0.5) / RATE
    voiced = source.voiced_at(times)
    softer = np.where(voiced, source.audio, 0.25 * source.audio).astype(np.float32)
    scores = measured(source, softer)["breath_level"]
    assert scores.value == pytest.approx(scores.reference - 12, abs=1.5)
    louder = measured(source, 0.5 * source.audio)["breath_level"]
    assert louder.value == pytest.approx(louder.reference, abs=0.01)
