"""The song's own digital silence: exact zeros, soft edges, and the same in slices as in the whole."""

import numpy as np
import pytest

from inference.silence_gate import FADE, GATE_MARGIN, SHORTEST, silence_gate
from tests.support.golden_cases import voice

RATE = 44100


def song(*parts: float) -> np.ndarray:
    """Voice, rest, voice ... of these lengths in s; the voice itself never rests."""
    pieces = [
        voice(length, RATE) + 0.01 if number % 2 == 0 else np.zeros(round(length * RATE))
        for number, length in enumerate(parts)
    ]
    return np.concatenate(pieces).astype(np.float32)


@pytest.mark.parametrize("rest", [SHORTEST, 4.0])
def test_a_rest_is_zero_and_its_edges_are_soft_and_inside(rest):
    gain = silence_gate(song(0.3, rest, 0.3), RATE)
    start, end, fade = round(0.3 * RATE), round(0.3 * RATE) + round(rest * RATE), round(FADE * RATE)
    assert (gain[:start] == 1).all() and (gain[end:] == 1).all()
    assert not gain[start + fade : end - fade].any()
    assert np.abs(np.diff(gain)).max() < 1.01 / fade
    assert gain.dtype == np.float32


@pytest.mark.parametrize("level", [0.0, 2.0**-17])
def test_dither_is_silence_and_a_quiet_room_is_not(level):
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    audio = np.concatenate([voice(0.3, RATE), level * noise])
    assert not silence_gate(audio, RATE)[round(0.33 * RATE) : -round(0.02 * RATE)].any()
    room = np.concatenate([voice(0.3, RATE), 10 ** (-75 / 20) * noise])
    assert (silence_gate(room, RATE) == 1).all()


def test_gaps_within_words_and_very_short_audio_stay_and_any_rate_will_do():
    assert (silence_gate(song(0.3, 0.095, 0.3), RATE) == 1).all()
    for n in (0, 1, 881, 882, 883):
        assert silence_gate(np.zeros(n, np.float32), RATE).tolist() == [1.0] * n
    for rate in (8000, 22050):
        gain = silence_gate(np.repeat(np.float32([1, 0, 1]), rate), rate)
        assert not gain[round(1.01 * rate) : round(1.99 * rate)].any()
        assert (gain[:rate] == 1).all() and (gain[2 * rate :] == 1).all()


def test_slices_give_the_gains_of_the_whole():
    audio = song(0.2, 0.1, 0.15, 0.098, 0.2, 0.35, 0.1, 0.11, 0.2)
    margin = round(GATE_MARGIN * RATE)
    padded = np.pad(audio, margin)
    whole = silence_gate(padded, RATE)[margin:-margin]
    assert (whole == 0).any()
    rng = np.random.default_rng(1)
    for start in rng.integers(0, len(audio) - 10, 60):
        end = int(rng.integers(start + 1, len(audio)))
        part = silence_gate(padded[start : end + 2 * margin], RATE)[margin : margin + end - start]
        np.testing.assert_array_equal(part, whole[start:end])
