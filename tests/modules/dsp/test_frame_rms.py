import itertools

import numpy as np

from modules.dsp.frame_rms import frame_rms
from tests.support.golden_cases import load_case, voice

CASE = load_case("f0_coarse")


def test_published_values():
    audio = voice(0.4, 44100)
    before = audio.copy()
    for n_samples in (511, 512, 600, 17408, 17409, 17640):
        got = frame_rms(audio[:n_samples], 512)
        np.testing.assert_allclose(got, CASE[f"volume_{n_samples}"], rtol=1e-4, atol=1e-5)
        assert got.dtype == np.float32
    np.testing.assert_allclose(frame_rms(audio, 441), CASE["volume_hop441"], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(audio, before)


def test_constant_sound_of_either_type_and_any_hop():
    for dtype, hop_length in itertools.product((np.float32, np.float64), (1, 2, 3, 512)):
        got = frame_rms(np.full(3 * hop_length + hop_length // 2, -0.25, dtype), hop_length)
        np.testing.assert_allclose(got, np.full(3, 0.25), rtol=1e-6)
        assert got.dtype == np.float32
        assert frame_rms(np.ones(hop_length - 1, dtype), hop_length).shape == (0,)
