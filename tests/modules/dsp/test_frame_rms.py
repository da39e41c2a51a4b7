import numpy as np
import pytest

from modules.dsp.frame_rms import frame_rms
from tests.support.golden_cases import load_case, voice

CASE = load_case("f0_coarse")


@pytest.mark.parametrize("n_samples", [511, 512, 600, 17408, 17409, 17640])
def test_published_values(n_samples):
    got = frame_rms(voice(0.4, 44100)[:n_samples], 512)
    np.testing.assert_allclose(got, CASE[f"volume_{n_samples}"], rtol=1e-4, atol=1e-5)
    assert got.dtype == np.float32


def test_published_values_odd_hop():
    np.testing.assert_allclose(frame_rms(voice(0.4, 44100), 441), CASE["volume_hop441"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("hop_length", [1, 2, 3, 512])
def test_constant_sound(dtype, hop_length):
    got = frame_rms(np.full(3 * hop_length + hop_length // 2, -0.25, dtype), hop_length)
    np.testing.assert_allclose(got, np.full(3, 0.25), rtol=1e-6)
    assert got.dtype == np.float32


def test_frame_is_centred_on_its_sample():
    click = np.zeros(10 * 512, np.float32)
    click[4 * 512] = 1.0
    assert frame_rms(click, 512).argmax() == 4


@pytest.mark.parametrize("n_samples", [0, 1, 511])
def test_too_short_for_a_frame(n_samples):
    assert frame_rms(np.ones(n_samples, np.float32), 512).shape == (0,)


def test_input_is_left_alone():
    audio = voice(0.1, 44100)
    before = audio.copy()
    frame_rms(audio, 512)
    np.testing.assert_array_equal(audio, before)
