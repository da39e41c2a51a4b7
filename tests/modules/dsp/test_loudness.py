import itertools

import librosa
import numpy as np
import pytest

from modules.dsp import loudness
from modules.dsp.frame_rms import frame_rms
from tests.support.golden_cases import load_case, signal, voice

RATE = 44100


def tone(seconds: float, amplitude: float = 0.1, hz: float = 997.0, phase: float = 0.0) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * hz * t + phase)).astype(np.float32)


def test_trimming_is_librosas():
    for audio in (
        np.concatenate([np.zeros(30000), voice(1.0, RATE), np.zeros(5000)]),
        np.concatenate([1e-4 * signal("hiss", (20000,)), voice(1.0, RATE), 1e-3 * signal("end", (40000,))]),
        voice(0.05, RATE),
        tone(0.01),
    ):
        audio = audio.astype(np.float32)
        want = librosa.effects.trim(audio, top_db=40, frame_length=2048, hop_length=512)[0]
        np.testing.assert_array_equal(loudness.trim_silence(audio, RATE), want)


def test_a_tone_has_its_known_loudness_and_reaches_its_target_however_short():
    # BS.1770: 997 Hz at full scale in one channel is -3.01 LUFS
    assert loudness.integrated_loudness(tone(2.0, 1.0), RATE) == pytest.approx(-3.01, abs=0.05)
    for seconds in (0.05, 0.39, 0.5, 3.0):
        out = loudness.match_lufs(tone(seconds, 0.02), RATE, target=-20.0)
        # a repeated clip has a small seam, and 50 ms hold few periods
        assert loudness.integrated_loudness(out, RATE) == pytest.approx(-20.0, abs=0.3)


def test_true_peaks_between_samples_are_seen_and_held_below_the_ceiling():
    # a quarter of the rate, 45° off: samples at 0.707 of the real peak
    hidden = tone(0.5, 0.9, hz=RATE / 4, phase=np.pi / 4)
    assert np.abs(hidden).max() < 0.65
    assert loudness.true_peak(hidden, RATE) == pytest.approx(0.9, rel=0.05)

    clicks = np.zeros(RATE, np.float32)
    clicks[::8000] = 0.5
    out = loudness.match_lufs(clicks, RATE, target=-10.0)[:]
    assert loudness.true_peak(out, RATE) <= 10 ** (-1 / 20) * 1.001
    np.testing.assert_allclose(out / out.max(), clicks / clicks.max(), atol=1e-6)  # a gain, no limiter


def test_peaks_are_matched_and_silence_stays_silence():
    quiet = tone(0.1, 0.3)
    assert np.abs(loudness.match_peak(quiet)[:]).max() == 1.0
    assert loudness.below_full_scale(quiet) is quiet
    assert np.abs(loudness.below_full_scale(3 * quiet / quiet.max())[:]).max() == pytest.approx(0.98)
    silence = np.zeros(RATE, np.float32)
    assert not loudness.match_peak(silence)[:].any() and not loudness.below_full_scale(silence)[:].any()
    assert not loudness.match_lufs(silence, RATE)[:].any() and len(loudness.trim_silence(silence, RATE)) == 0


def test_sixteen_bits_are_rounded_and_never_wrap():
    samples = np.array([-2.0, -1.0, 0.6 / 32768, 0.4 / 32768, 1.0, 1.5], np.float32)
    np.testing.assert_array_equal(loudness.to_int16(samples), [-32768, -32768, 1, 0, 32767, 32767])
    every = np.arange(-32768, 32768, 7, dtype=np.int16)
    np.testing.assert_array_equal(loudness.to_int16(every.astype(np.float32) / 32768), every)


CASE = load_case("f0_coarse")


def test_published_frame_levels():
    audio = voice(0.4, 44100)
    before = audio.copy()
    for n_samples in (511, 512, 600, 17408, 17409, 17640):
        got = frame_rms(audio[:n_samples], 512)
        np.testing.assert_allclose(got, CASE[f"volume_{n_samples}"], rtol=1e-4, atol=1e-5)
        assert got.dtype == np.float32
    np.testing.assert_allclose(frame_rms(audio, 441), CASE["volume_hop441"], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(audio, before)


def test_frame_levels_of_constant_sound_of_either_type_and_any_hop():
    for dtype, hop_length in itertools.product((np.float32, np.float64), (1, 2, 3, 512)):
        got = frame_rms(np.full(3 * hop_length + hop_length // 2, -0.25, dtype), hop_length)
        np.testing.assert_allclose(got, np.full(3, 0.25), rtol=1e-6)
        assert got.dtype == np.float32
        assert frame_rms(np.ones(hop_length - 1, dtype), hop_length).shape == (0,)
