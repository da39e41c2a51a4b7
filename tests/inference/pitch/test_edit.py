"""Notes of a curve, and its edits, on melodies of known pitch."""

import numpy as np
import pytest

from inference.pitch.edit import in_range, mend_octaves, reshape, sing_notes, tune
from inference.pitch.scale import Scale, detect_scale, parse_scale
from modules.common.errors import ConfigError
from modules.dsp.notes import MelodyNote, find_notes
from modules.dsp.semitones import to_hz, to_semitones
from synthetic_voice import compose, sing

RATE = 44100 / 512
MELODY = (60.3, 64.3, 62.3, 67.3)  # sung 30 cents sharp


def curve(vibrato=0.4, drift=0.0):
    """Four notes of 0.8 s with vibrato and a rest between, (N,) Hz."""
    t = np.arange(round(0.8 * RATE)) / RATE
    shape = vibrato * np.sin(2 * np.pi * 5.5 * t) + drift * (t / 0.8 - 0.5)
    rest = np.full(round(0.2 * RATE), np.nan)
    return to_hz(np.concatenate([part for note in MELODY for part in (note + shape, rest)]))


def swing(f0):
    """Deviation of the pitch within each note, semitones."""
    pitch = to_semitones(f0)
    return [float(np.nanstd(pitch[round(i * RATE) : round((i + 0.8) * RATE)])) for i in range(4)]


def test_notes_are_found_in_the_singers_own_tuning():
    notes = find_notes(curve(), RATE)
    assert [round(note.pitch, 1) for note in notes] == pytest.approx(MELODY, abs=0.11)
    assert [note.start for note in notes] == pytest.approx([0, 1, 2, 3], abs=2 / RATE)
    assert find_notes(np.zeros(50), RATE) == []


def test_notes_of_a_sung_song_are_those_of_its_score():
    song = sing(score := compose("tomas", 8, 3), "tomas", 3)
    f0 = song.f0_at(np.arange(round(8 * RATE)) / RATE)
    notes = find_notes(f0, RATE)
    middle = [(note.start + note.end) / 2 for note in score.notes]
    right = [
        any(abs(n.pitch - note.pitch) < 0.5 and n.start - 0.1 < at < n.end + 0.1 for n in notes)
        for note, at in zip(score.notes, middle, strict=True)
    ]
    assert np.mean(right) > 0.9 and len(notes) < 1.6 * len(score.notes)


def test_autotune_draws_notes_to_the_scale_by_its_strength_and_keeps_vibrato():
    f0 = curve()
    for strength in (0.0, 0.5, 1.0):
        tuned = tune(f0, RATE, strength, parse_scale("C:maj"))
        found = [note.pitch for note in find_notes(tuned, RATE)]
        wanted = [note - 0.3 * strength for note in MELODY]
        assert found == pytest.approx(wanted, abs=0.06)
        np.testing.assert_array_equal(tuned > 0, f0 > 0)
        assert swing(tuned) == pytest.approx(swing(f0), rel=0.15)
    assert tune(f0, RATE, 0.0, parse_scale("C:maj")) is f0
    flat = tune(curve(drift=0.6, vibrato=0.0), RATE, 1.0, parse_scale("C:maj"))
    assert max(swing(flat)) < 0.5 * min(swing(curve(drift=0.6, vibrato=0.0)))


def test_singing_follows_the_notes_of_a_melody_near_them():
    notes = [MelodyNote(0.0, 0.8, 62), MelodyNote(1.0, 1.8, 52)]
    sung = find_notes(sing_notes(curve(), RATE, notes), RATE)
    assert [note.pitch for note in sung] == pytest.approx([62, 52, *MELODY[2:]], abs=0.1)


def test_vibrato_and_drift_are_scaled():
    f0 = curve(drift=0.6)
    np.testing.assert_allclose(reshape(f0, RATE), f0, rtol=1e-6)
    assert max(swing(reshape(f0, RATE, vibrato=0.0, drift=0.0))) < 0.1
    assert swing(reshape(curve(), RATE, vibrato=2.0)) == pytest.approx(
        [2 * depth for depth in swing(curve())], rel=0.1
    )


def test_octaves_are_mended_in_their_range_alone():
    f0 = curve()
    wrong = f0.copy()
    span = slice(round(1.0 * RATE), round(1.8 * RATE))
    wrong[span] *= 2
    wrong[:10] *= 2
    mended = in_range(wrong, span.start, span.stop, lambda x: mend_octaves(x, RATE, span.start, span.stop))
    np.testing.assert_allclose(mended[span], f0[span], rtol=1e-6)
    np.testing.assert_array_equal(mended[:10], wrong[:10])


def test_scales_are_parsed_found_and_wrong_ones_named():
    assert parse_scale("auto") is None
    assert parse_scale("F#:min").notes == parse_scale("gb:minor").notes == (1, 2, 4, 6, 8, 9, 11)
    assert parse_scale("C:maj").nearest(61.4) == 62 and parse_scale("chromatic").nearest(61.4) == 61
    assert parse_scale("C:maj").nearest(59.6) == 60
    for wrong in ("H:maj", "C:dorian", "", "C"):
        with pytest.raises(ConfigError, match="--scale must be a key as C:maj"):
            parse_scale(wrong)
    degrees = [0, 4, 7, 0, 5, 9, 7, 11, 2, 4, 0, 7, 0]
    for tonic in (0, 4):
        f0 = to_hz(np.repeat(np.array(degrees) + 60.0 + tonic, 30))
        assert detect_scale(f0) == parse_scale(("C:maj", "E:maj")[tonic > 0])
    assert detect_scale(np.zeros(9)) == Scale("chromatic", tuple(range(12)))
