"""Notes above the usual range are added, and no others change."""

import numpy as np
import pytest

from modules.f0_predictor import F0_PREDICTORS
from modules.f0_predictor.base import F0Predictor

RATE, HOP = 22050, 256


def note(f0, odd=1.0):
    """A second of a note with a few harmonics; ``odd`` scales every second one."""
    time = np.arange(RATE) / RATE
    return sum((odd if k % 2 else 1) * np.sin(2 * np.pi * k * f0 * time) / k for k in range(1, 8))


def tracks(name, *sounds):
    """F0 and uv of the sounds in a row, in the usual range and in a wider one."""
    audio = np.concatenate(sounds)
    audio = audio + 1e-3 * np.random.default_rng(1).standard_normal(len(audio))
    usual = F0_PREDICTORS.build(name, sampling_rate=RATE, hop_length=HOP)
    return usual.predict(audio), usual.within(50.0, 2200.0).predict(audio)


@pytest.mark.parametrize("name", ["pm", "dio", "harvest"])
def test_high_notes_are_heard(name):
    (low, low_uv), (f0, uv) = tracks(name, note(1318.5), note(1568.0))
    place = np.arange(len(f0))
    truth, steady = np.where(place < 86, 1318.5, 1568.0), (place % 86 > 8) & (place % 86 < 78)

    def share(f0, uv):
        return np.mean((np.abs(f0 / truth - 1) < 0.03)[steady] & (uv > 0)[steady])

    assert share(f0, uv) > 0.95 and share(low, low_uv) == 0  # an octave low, or not voiced


@pytest.mark.parametrize("name", ["pm", "dio", "harvest"])
def test_other_notes_and_hiss_stay(name):
    """Also where the second harmonic is the loudest by far."""
    hiss = 0.2 * np.diff(np.random.default_rng(0).standard_normal(RATE // 2))
    (low, low_uv), (f0, uv) = tracks(name, note(587.0), note(660.0, odd=0.2), np.zeros(2000), hiss)
    np.testing.assert_array_equal(f0, low)
    np.testing.assert_array_equal(uv, low_uv)


def test_a_glide_into_the_high_range_is_one():
    time = np.arange(2 * RATE) / RATE
    true = 700.0 * 2.0 ** (time / 2)
    cycles = np.cumsum(true) / RATE
    _, (f0, uv) = tracks("pm", sum(np.sin(2 * np.pi * k * cycles) / k for k in range(1, 8)))
    assert uv[2:-2].all() and np.abs(1200 * np.log2(f0 / true[::HOP][: len(f0)]))[2:-2].max() < 20


class LeapingTracker(F0Predictor):
    """Hears five frames an octave high."""

    def _track(self, audio, n_frames):
        return np.where(np.abs(np.arange(n_frames) - 20) < 3, 440.0, 220.0)


def test_every_predictor_s_brief_octave_errors_are_repaired():
    f0, uv = LeapingTracker(RATE, HOP).predict(note(220.0))
    assert (f0 == 220).all() and uv.all()
