"""Performances: their ground truth is exact."""

from itertools import combinations

import numpy as np
import pytest
import pyworld

from synthetic_voice import SINGERS, Performance, compose, sing

RATE = 44100


@pytest.fixture(scope="module")
def duet() -> dict[str, Performance]:
    """One song from every singer, at one pitch and in one style."""
    score = compose("noor", 5, seed=2)
    return {name: sing(score, name, seed=2, style="noor") for name in SINGERS}


def envelope(audio: np.ndarray) -> np.ndarray:
    """Long-term spectrum in dB, in third octaves from 200 Hz to 12.8 kHz, without its mean."""
    spectrum = np.abs(np.fft.rfft(audio.astype(np.float64))) ** 2
    hz = np.fft.rfftfreq(len(audio), 1 / RATE)
    edges = 200 * 2 ** (np.arange(19) / 3)
    level = [spectrum[(hz >= low) & (hz < high)].mean() for low, high in zip(edges, edges[1:], strict=False)]
    decibels = 10 * np.log10(level)
    return decibels - decibels.mean()


@pytest.mark.parametrize("name", SINGERS)
def test_pitch_trackers_find_the_true_f0(name):
    performance = sing(compose(name, 4, seed=4), name, seed=4)
    audio = performance.audio.astype(np.float64)
    for tracker in (pyworld.harvest, pyworld.dio):
        f0, times = tracker(audio, RATE, f0_floor=60.0, f0_ceil=1000.0, frame_period=10.0)
        f0 = pyworld.stonemask(audio, f0, times, RATE)
        truth = performance.f0_at(times)
        voiced = truth > 0
        cents = 1200 * np.abs(np.log2(np.maximum(f0[voiced], 1) / truth[voiced]))
        assert voiced.mean() > 0.4
        assert (cents < 50).mean() > 0.97
        assert np.median(cents) < 5  # the tracker's own error: phase and truth are the same function


def test_the_truth_is_zero_where_nothing_vibrates():
    performance = sing(compose("tomas", 6, seed=1), "tomas")
    times = np.arange(0, 6, 0.001) + 0.0005
    voiced = performance.voiced_at(times)
    assert np.array_equal(performance.f0_at(times) > 0, voiced)
    unvoiced = {"sil", "breath", "s", "sh", "f", "h", "pcl", "tcl", "kcl", "p", "t", "k"}
    assert set(performance.phone_at(times[~voiced])) <= unvoiced
    assert not set(performance.phone_at(times[voiced])) & unvoiced
    assert not performance.voiced_at(np.array([-1.0, 7.0])).any()


def test_the_pitch_is_that_of_the_notes():
    performance = sing(compose("kit", 8, seed=3), "kit", seed=3)
    for note in performance.score.notes:
        sung = performance.pitch[round(1000 * (note.start + 0.15)) : round(1000 * note.end - 80)]
        if len(sung):
            assert abs(12 * np.log2(np.median(sung) / 440) + 69 - note.pitch) < 0.5


def test_any_sampling_rate():
    for rate in (16000, 22050, 44100, 48000):
        audio = sing(compose("noor", 2.5, seed=1), "noor", sampling_rate=rate).audio
        assert audio.shape == (round(2.5 * rate),) and audio.dtype == np.float32
        assert np.isfinite(audio).all() and 0.02 < np.sqrt(np.mean(audio**2)) < 0.3


def test_rests_are_digital_silence_and_breaths_are_not():
    performance = sing(compose("ivan", 20, seed=2), "ivan")
    rests = 0
    for start, end, name in performance.phones:
        inside = performance.audio[round((start + 0.06) * RATE) + 1 : round((end - 0.01) * RATE) - 1]
        if name == "sil" and len(inside) > 0:
            rests += 1
            assert not inside.any()
        elif name == "breath":
            assert np.sqrt(np.mean(inside**2)) > 1e-4
    assert rests > 3


def test_another_singer_in_the_same_style_is_parallel():
    score, times = compose("bruno", 4, seed=6), np.arange(0, 4, 0.005)
    source = sing(score, "bruno", seed=6)
    for semitones in (0, 5, 12):
        target = sing(score.transposed(semitones), "sofia", seed=6, style="bruno")
        assert target.phones == source.phones
        # float64: only rounding is left
        expected = source.f0_at(times) * 2 ** (semitones / 12)
        np.testing.assert_allclose(target.f0_at(times), expected, rtol=1e-12)


def test_singers_are_different_voices_of_a_limited_peak(duet):
    score = duet["noor"].score
    # difference of one voice from itself: other noise, vibrato and loudness
    same = [
        np.abs(envelope(duet[name].audio) - envelope(sing(score, name, seed=7).audio)).mean()
        for name in SINGERS
    ]
    for one, other in combinations(SINGERS, 2):
        between = np.abs(envelope(duet[one].audio) - envelope(duet[other].audio)).mean()
        assert between > 2 and between > 1.5 * max(same), (one, other)
    for performance in duet.values():
        assert 0.1 < np.abs(performance.audio).max() <= 0.9
    # above the range of a child, where harmonics meet formants
    loud = sing(compose("kit", 4, seed=3).transposed(8), "kit", seed=3)
    assert np.abs(loud.audio).max() == pytest.approx(0.9, abs=0.001)
    assert np.abs(loud.audio).max() <= 0.9
