import numpy as np
import pytest

from inference.timbre.envelope import ENVELOPE_MARGIN, FLOOR, HIGHEST_GAIN, envelope_gain

RATE = 8000


def swelling(seconds, seed=0):
    """Noise whose loudness rises and falls by 24 dB every six seconds, with a rest of two."""
    t = np.arange(round(seconds * RATE)) / RATE
    level = 10 ** ((-25 + 12 * np.sin(2 * np.pi * t / 6)) / 20)
    level[(t > 4) & (t < 6)] = 0
    noise = np.random.default_rng(seed).standard_normal(len(t))
    return (level * noise).astype(np.float32)


def flat(seconds, level=0.1, seed=1):
    noise = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    return (level * noise).astype(np.float32)


def decibels(audio):
    """Level of each half second, dB."""
    frames = audio[: len(audio) // (RATE // 2) * (RATE // 2)].reshape(-1, RATE // 2)
    return 10 * np.log10(np.square(frames).mean(1) + 1e-12)


def test_strength_1_leaves_every_sample_and_less_than_a_window_has_one_gain():
    gain = envelope_gain(swelling(3), flat(3), RATE, 1.0)
    assert gain.dtype == np.float32 and gain.tolist() == [1.0] * (3 * RATE)
    for n_samples in (0, 1, 100):
        gain = envelope_gain(np.full(n_samples, 0.5), np.full(n_samples, 0.25), RATE, 0.0)
        np.testing.assert_allclose(gain, 2.0, rtol=1e-6)


@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_the_level_moves_towards_that_of_the_source(strength):
    source, result = swelling(12), flat(12)
    moved = result * envelope_gain(source, result, RATE, strength)
    wanted = (1 - strength) * decibels(source) + strength * decibels(result)
    singing = np.abs(np.arange(0.25, 12, 0.5) - 5) > 1.5  # away from the rest and its edges
    # the gain is of a second in which the level moves by up to 12 dB
    assert np.abs(decibels(moved) - wanted)[singing].max() < 1.5
    assert np.abs(decibels(result) - wanted)[singing].max() > 5  # there was something to do


def test_it_is_smooth():
    gain = envelope_gain(swelling(12), flat(12), RATE, 0.0)
    assert gain.max() > 2 and gain.min() < 0.01  # it does move
    assert np.abs(np.diff(gain)).max() < 0.002  # no click, not where a rest ends either


def test_silence_of_either_side_or_of_both():
    for hum in (0.0, 1e-6, 1e-4):
        result = flat(2, hum)
        moved = result * envelope_gain(flat(2, 0.5), result, RATE, 0.0)
        assert np.isfinite(moved).all() and np.abs(moved).max() <= HIGHEST_GAIN * np.abs(result).max()
        assert np.sqrt(np.square(moved).mean()) <= HIGHEST_GAIN * hum
    result = flat(2, 0.1)
    moved = result * envelope_gain(np.zeros(2 * RATE, np.float32), result, RATE, 0.0)
    inside = moved[RATE // 2 : -RATE // 2]
    assert np.sqrt(np.square(inside).mean()) == pytest.approx(FLOOR, rel=0.1)
    gain = envelope_gain(flat(2, 1e-6), flat(2, 1e-5), RATE, 0.0)
    assert gain.tolist() == [1.0] * (2 * RATE)


@pytest.mark.parametrize(("size", "strength"), [(1000, 0.0), (7777, 0.3)])
def test_slices_with_their_margin_agree_with_the_whole_song(size, strength):
    source, result = swelling(12), flat(12)
    whole = result * envelope_gain(source, result, RATE, strength)
    margin = round(ENVELOPE_MARGIN * RATE)
    pad = (margin, margin + size)  # silence outside of the song
    padded_source, padded_result = np.pad(source, pad), np.pad(result, pad)
    pieces = []
    for start in range(0, len(result), size):
        part = slice(start, start + size + 2 * margin)
        gain = envelope_gain(padded_source[part], padded_result[part], RATE, strength)
        pieces.append((padded_result[part] * gain)[margin : margin + size])
    # sums of float64 begin elsewhere; then the gain is rounded to float32
    np.testing.assert_allclose(np.concatenate(pieces)[: len(result)], whole, rtol=0, atol=1e-6)
