"""Offset and rumble: gone where they dominate, and sound otherwise untouched."""

import numpy as np
import pytest

from modules.dsp.infrasound import OffsetMeter, audible, remove_offset
from tests.support.golden_cases import voice

RATE = 44100


def level(audio: np.ndarray) -> float:
    return 20 * np.log10(max(1e-9, audio.astype(np.float64).std()))


def tone(hz: float, seconds: float = 2.0) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE).astype(np.float32)


@pytest.mark.parametrize("n", [0, 1, 300, 882, 44100, 50001])
def test_sound_and_silence_stay_bit_for_bit(n):
    for audio in (voice(2, RATE)[30000 : 30000 + n], np.zeros(n, np.float32), tone(110)[:n]):
        if n != 300 and n != 1:  # of a few samples nobody can tell
            np.testing.assert_array_equal(audible(audio, RATE)[:-400], audio[:-400])
        assert audible(audio, RATE).shape == (n,)


@pytest.mark.parametrize(("hz", "below"), [(0.1, -120), (5, -80), (10, -60), (20, -40), (30, -26)])
def test_rumble_is_not_measured(hz, below):
    rumble = tone(hz) + np.float32(0.5)
    assert level(audible(rumble[: RATE * 2 // 882 * 882], RATE)) < level(tone(hz, 20)) + below


@pytest.mark.parametrize("rate", [8000, 48000])
def test_what_lies_below_the_rumble_is_measured(rate):
    t = np.arange(rate) / rate
    hiss = 1e-3 * np.random.default_rng(0).standard_normal(rate)
    heard = audible((hiss + 0.2 * np.sin(2 * np.pi * 12 * t) + 0.1).astype(np.float32), rate)
    assert level(heard) == pytest.approx(-60, abs=1)


def offset_of(*blocks: np.ndarray) -> float:
    meter = OffsetMeter(RATE)
    for block in blocks:
        meter.feed(block)
    return meter.offset()


def test_an_offset_is_found_in_any_blocks_and_through_rests():
    audio = voice(4, RATE)
    assert offset_of(audio) == offset_of(audio[:5]) == offset_of(np.zeros(RATE, np.float32)) == 0
    for offset in (0.003, -0.02, 0.3):
        shifted = audio + np.float32(offset)
        found = offset_of(*np.split(shifted, [1, 100, 100, 50000]))
        assert found == pytest.approx(offset, abs=5e-4)
        assert offset_of(shifted) == pytest.approx(found, abs=1e-12)
        muted = np.where(audio == 0, np.float32(0), shifted)
        np.testing.assert_allclose(remove_offset(muted, offset_of(muted)), audio, atol=1e-3)
        assert not remove_offset(muted, offset_of(muted))[round(1.6 * RATE) : round(1.9 * RATE)].any()


def test_what_wanders_is_no_offset():
    assert offset_of(np.linspace(0, 0.2, 20 * RATE, dtype=np.float32)) == 0
    assert offset_of(np.float32(0.1) + voice(0.2, RATE)) == 0  # too short to tell
