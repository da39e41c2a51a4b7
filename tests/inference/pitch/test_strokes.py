"""Edits of a range by hand, on the synthetic voice, whose pitch is known."""

from functools import partial

import numpy as np
import pytest

from inference.pitch.edit import draw, in_range, mend_octaves, shift, tune, unvoice, voice
from inference.pitch.scale import Scale
from modules.dsp.notes import find_notes
from modules.dsp.semitones import to_semitones
from synthetic_voice import compose, sing

RATE = 44100 / 512
SCORE = compose("tomas", 8, 3)


@pytest.fixture(scope="module")
def f0():
    return sing(SCORE, "tomas", 3).f0_at(np.arange(round(8 * RATE)) / RATE)


@pytest.fixture(scope="module")
def note(f0):
    """First and last frame of a long note of the song."""
    found = max(find_notes(f0, RATE), key=lambda note: note.end - note.start)
    return round(found.start * RATE), round(found.end * RATE)


def test_a_line_is_drawn_from_point_to_point_and_nowhere_else(f0):
    drawn = draw(f0, np.array([99.5, 110.0, 130.0]), np.array([60.0, 60.0, 64.0]))
    assert to_semitones(drawn[100:111]) == pytest.approx(60, abs=1e-4)
    assert to_semitones(drawn[120]) == pytest.approx(62, abs=1e-4)
    outside = np.r_[0:100, 131 : len(f0)]
    np.testing.assert_array_equal(drawn[outside], f0[outside])
    beyond = draw(f0, np.array([-5.0, 1e6]), np.array([50.0, 50.0]))
    assert len(beyond) == len(f0) and to_semitones(beyond) == pytest.approx(50, abs=1e-4)


def test_a_note_is_moved_with_its_vibrato_and_the_rest_stays(f0, note):
    first, last = note
    moved = shift(f0, RATE, first, last, 3.0)
    glide = round(0.06 * RATE)
    inside = slice(first + glide, last - glide)
    change = to_semitones(moved) - to_semitones(f0)
    assert change[inside] == pytest.approx(3, abs=1e-3)
    far = np.r_[0 : first - glide, last + glide : len(f0)]
    np.testing.assert_array_equal(moved[far], f0[far])
    np.testing.assert_array_equal(moved > 0, f0 > 0)
    steps = np.abs(np.diff(change[np.isfinite(change)]))
    assert steps.max() < 1.5  # a glide, not a jump of 3, where singing goes on


def test_unvoiced_and_voiced_again_is_near_what_was_sung(f0, note):
    first, last = note
    middle = (first + last) // 2
    gap = unvoice(f0, middle - 5, middle + 5)
    assert not gap[middle - 5 : middle + 5].any() and (gap != f0).sum() == 10
    mended = voice(gap, middle - 5, middle + 5)
    error = to_semitones(mended) - to_semitones(f0)
    assert np.nanmax(np.abs(error)) < 1.3  # the vibrato of 0.1 s is lost
    np.testing.assert_array_equal(voice(f0, first, last), f0)
    assert not voice(np.zeros(9), 2, 5).any()


def test_octave_errors_of_notes_are_mended_to_what_was_sung(f0):
    for found in find_notes(f0, RATE):
        first, last = round(found.start * RATE), round(found.end * RATE)
        for factor in (0.5, 2.0):
            wrong = f0.copy()
            wrong[first:last] *= factor
            mend = partial(mend_octaves, frame_rate=RATE, first=first, last=last)
            mended = in_range(wrong, first, last, mend)
            np.testing.assert_allclose(mended, f0, rtol=1e-5)


def test_a_detuned_song_is_snapped_to_the_notes_of_its_score(f0):
    """Notes of the score are semitones: those of a song 35 cents sharp come back to them."""
    scale = Scale("chromatic", tuple(range(12)))
    tuned = tune((f0 * 2 ** (0.35 / 12)).astype(np.float32), RATE, 1.0, scale)
    errors = []
    for note in SCORE.notes:
        inside = slice(round((note.start + 0.1) * RATE), round((note.end - 0.1) * RATE))
        pitch = to_semitones(tuned[inside])
        if np.isfinite(pitch).sum() > 10:
            errors.append(abs(float(np.nanmedian(pitch)) - note.pitch))
    assert len(errors) > 5 and np.median(errors) < 0.1 and np.mean(np.array(errors) < 0.3) > 0.8
