"""The key advice: musical, minimal, and silent when nothing is wrong."""

import logging

import numpy as np
import pytest

from inference.key import choose_key, key_advice, name_extremes, suggest_key, tracking_range

WOMAN = (196.0, 294.0, 440.0)
MAN = (98.0, 147.0, 220.0)


def song(low: float, high: float) -> np.ndarray:
    return np.geomspace(low, high, 500)


@pytest.mark.parametrize(
    ("low", "high", "f0_range", "key"),
    [
        (200, 430, WOMAN, 0),
        (98, 220, WOMAN, 12),
        (200, 440, MAN, -12),
        (50, 108, WOMAN, 24),
        (185, 400, WOMAN, 0),  # a semitone below is no reason to leave the key
        (150, 160, (200.0, 206.0, 212.0), 5),  # an octave would overshoot by more than a fourth falls short
        (90, 190, (150.0, 300.0, 500.0), 12),  # nine semitones would do; the octave fits as well
        (20, 2000, MAN, 0),  # too wide for any voice: its median lies inside already
    ],
)
def test_advised_key(low, high, f0_range, key):
    assert suggest_key(song(low, high), f0_range) == key


@pytest.mark.parametrize(
    ("low", "high", "f0_range", "key"),
    [
        (98, 220, WOMAN, 12),
        (150, 160, (200.0, 206.0, 212.0), 0),  # a fourth would fit, but is no octave
        (100, 105, (200.0, 206.0, 212.0), 12),
        (600, 1000, MAN, -24),
    ],
)
def test_octaves_alone(low, high, f0_range, key):
    assert choose_key(song(low, high), f0_range, "anna", octaves=True).semitones == key


def test_the_key_fits_is_final_and_its_advice_names_both_ranges():
    advice = key_advice(song(98, 220), WOMAN, 0)
    assert advice is not None and advice.semitones == 12 and advice.trained_range == (196, 440)
    assert advice.song_range == pytest.approx((98, 220), rel=0.05)
    assert key_advice(song(98, 220), WOMAN, 12) is None
    wrong = key_advice(song(200, 430), WOMAN, 24)
    assert wrong is not None and wrong.semitones == 0
    assert wrong.song_range == pytest.approx((800, 1720), rel=0.05)
    for low in (60, 75, 97, 131, 164, 222, 310, 405, 590):
        f0 = song(low, 1.6 * low)
        shifted = f0 * 2 ** (suggest_key(f0, WOMAN) / 12)
        assert WOMAN[0] <= np.median(shifted) <= WOMAN[2]
        assert suggest_key(shifted, WOMAN) == 0
    assert suggest_key(np.append(song(200, 430), np.zeros(2000)), WOMAN) == 0
    for unvoiced in ([], [0.0, 0.0], [np.nan]):
        assert suggest_key(np.array(unvoiced), WOMAN) == 0
        assert key_advice(np.array(unvoiced), WOMAN, 0) is None


def test_the_tracked_range_follows_the_key():
    assert tracking_range(0, 44100) == tracking_range(-12, 44100) == (50, 2200)
    assert tracking_range(12, 44100) == (32.7, 2200) == tracking_range(36, 44100)
    assert tracking_range(2, 44100) == (pytest.approx(44.5, abs=0.1), 2200)
    assert tracking_range(-12, 4000) == (50, 1960)


def test_a_whispered_song_gets_no_advice_and_is_named(caplog):
    whisper = np.zeros(1000)
    whisper[100:140] = 900.0  # a tracker's errors
    assert suggest_key(whisper, MAN) == 0 and key_advice(whisper, MAN, 0) is None
    with caplog.at_level(logging.WARNING):
        name_extremes("song.wav", whisper, whisper > 0, 0, 86.0)
    assert caplog.messages == [
        "song.wav: 4 % of it is voiced: whispered, or too soft for the F0 predictor; no key is advised"
    ]


def test_what_lies_beyond_the_range_of_the_models_is_named(caplog):
    f0 = np.repeat([440.0, 1000.0, 30.0], [800, 100, 10])
    with caplog.at_level(logging.WARNING):
        name_extremes("song.wav", f0, np.ones(910), 0, 86.0)
        assert not caplog.messages  # 0.1 s is nothing
        name_extremes("song.wav", f0, np.ones(910), 3, 86.0)
    (line,) = caplog.messages
    assert line.startswith("song.wav: 1.2 s lie above 1100 Hz in this key (-t 3), as far as 1189 Hz")
