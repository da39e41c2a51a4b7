import numpy as np
import pytest
import pyworld
import torch

from modules.dataset.perturb import perturb_voice
from tests.support.golden_cases import signal, voice
from vencoder.mfcc import MfccEncoder

RATE = 16000


@pytest.fixture(scope="module")
def speech():
    """Two seconds of pulses through two formants, 700 and 1900 Hz, between silences."""
    source = voice(2.0, RATE, 110.0) + signal("breath", (2 * RATE,), 1e-4)
    spectrum, hertz = np.fft.rfft(source), np.arange(RATE + 1) * RATE / len(source)
    gain = 0.02 + np.exp(-(((hertz - 700) / 150) ** 2)) + np.exp(-(((hertz - 1900) / 200) ** 2))
    return np.fft.irfft(spectrum * gain).astype(np.float32)


@pytest.fixture(scope="module")
def copies(speech):
    return perturb_voice(speech, RATE, 4, np.random.default_rng(1))


def formant(audio, low, high):
    """Centre of the envelope between two frequencies, Hz."""
    samples = audio.astype(np.float64)
    f0, times = pyworld.dio(samples, RATE, frame_period=10.0)
    envelope = pyworld.cheaptrick(samples, f0, times, RATE)[f0 > 0].mean(0)
    hertz = np.arange(len(envelope)) * RATE / 2 / (len(envelope) - 1)
    band = (hertz > low) & (hertz < high)
    return (hertz * envelope)[band].sum() / envelope[band].sum()


def test_formants_move_both_ways_within_the_range_and_all_by_one_factor(copies, speech):
    own = formant(speech, 1300, 2700)
    ratios = np.array([formant(copy, 1300, 2700) for copy in copies]) / own
    assert (ratios > 1.02).sum() == (ratios < 0.98).sum() == 2
    assert ratios.min() > 0.8 and ratios.max() < 1.25
    pair = perturb_voice(speech, RATE, 2, np.random.default_rng(0), (1.2, 1.2), max_semitones=0.0)
    down, up = sorted(pair, key=lambda copy: formant(copy, 1300, 2700))
    for copy, ratio in ((down, 1 / 1.2), (up, 1.2)):
        for low, high in ((400, 1100), (1300, 2700)):
            moved = formant(copy, low * ratio, high * ratio) / formant(speech, low, high)
            assert moved == pytest.approx(ratio, rel=0.03)


def test_the_pitch_moves_by_the_semitones(speech):
    def pitch(audio):
        samples = audio.astype(np.float64)
        f0, times = pyworld.dio(samples, RATE, 60.0, 500.0)
        return pyworld.stonemask(samples, f0, times, RATE)

    own, medians = pitch(speech), []
    for copy in perturb_voice(speech, RATE, 5, np.random.default_rng(2), max_semitones=4.0):
        moved = pitch(copy)
        both = (own > 0) & (moved > 0)
        shifts = 12 * np.log2(moved[both] / own[both])
        medians.append(np.median(shifts))
        assert np.abs(shifts - medians[-1]).mean() < 0.5
    assert -4.1 < min(medians) < -1 and 1 < max(medians) < 4.1


def test_the_timing_stays(copies, speech):
    def loudness(audio):
        return np.convolve(audio.astype(np.float64) ** 2, np.hanning(160), "same")[::16]

    own = loudness(speech)
    for copy in copies:
        lags = np.correlate(loudness(copy), own, "full")
        assert abs(lags.argmax() - len(own) + 1) <= 4  # ms
    silence = slice(int(1.55 * RATE), int(1.95 * RATE))
    assert np.abs(copies[:, silence]).max() < 0.01 * np.abs(copies).max()


def test_units_differ_but_keep_the_content(copies, speech):
    encoder = MfccEncoder("mfcc")
    own = encoder.encode(torch.from_numpy(speech))
    loud = own.abs().sum(0) > 1
    for copy in copies:
        units = encoder.encode(torch.from_numpy(copy))
        likeness = torch.cosine_similarity(units, own, dim=0)[loud].mean()
        assert 0.3 < likeness < 0.98


def test_copies_follow_from_the_generator_also_of_short_clips_silence_and_other_rates(copies, speech):
    assert copies.shape == (4, len(speech)) and copies.dtype == np.float32
    assert np.array_equal(copies, perturb_voice(speech, RATE, 4, np.random.default_rng(1)))
    assert not np.array_equal(copies, perturb_voice(speech, RATE, 4, np.random.default_rng(2)))
    rng = np.random.default_rng(0)
    for n_samples in (1, 10, 159, 160, 161, 1000):
        copies = perturb_voice(speech[:n_samples], RATE, 2, rng)
        assert copies.shape == (2, n_samples) and np.isfinite(copies).all()
    assert np.abs(perturb_voice(np.zeros(8000, np.float32), RATE, 2, rng)).max() < 1e-5
    assert perturb_voice(voice(0.3, 44100), 44100, 1, rng).shape == (1, 13230)
    assert perturb_voice(speech, RATE, 0, rng).shape == (0, len(speech))
