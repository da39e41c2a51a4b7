"""The synthesis: exact phase, nothing above the band, and phones with their acoustic targets."""

from dataclasses import replace

import numpy as np
import pytest

from synthetic_voice import SINGERS, MusicScore, Note, Performance, Syllable, sing
from synthetic_voice.expression import GRID_RATE
from synthetic_voice.phones import PHONES
from synthetic_voice.voice import cycles, pulses

RATE = 44100


def say(syllable: Syllable, pitch: float = 48, singer: str = "ivan", seed: int = 0) -> Performance:
    """Sing one second of a syllable between silences."""
    return sing(MusicScore((Note(0.4, 1.4, pitch, syllable),), 1.8), singer, seed)


def middle(performance: Performance, name: str) -> np.ndarray:
    """Middle 60 % of the phone ``name``."""
    start, end, _ = next(phone for phone in performance.phones if phone.name == name)
    edge = 0.2 * (end - start)
    return performance.audio[round((start + edge) * RATE) : round((end - edge) * RATE)]


def rms(audio: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(audio, dtype=np.float64))))


def power(audio: np.ndarray, low: float, high: float) -> float:
    """Power of ``audio`` between two frequencies in Hz."""
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)))) ** 2
    hz = np.fft.rfftfreq(len(audio), 1 / RATE)
    return float(spectrum[(hz >= low) & (hz < high)].sum())


def test_pulses_are_the_sum_of_their_harmonics_and_cycles_the_integral_of_f0():
    phase = np.concatenate([np.random.default_rng(0).uniform(0, 2 * np.pi, 500), [0.0, 1e-9, 1e-5]])
    for count in (1, 7, 160):
        expected = 2 * np.cos(np.arange(1, count + 1)[:, None] * phase).sum(axis=0)
        # the quotient loses digits near phase 0, of a peak of 2 * count
        np.testing.assert_allclose(pulses(phase, np.array(float(count))), expected, atol=1e-7 * count)
    times = np.arange(2001) / GRID_RATE
    np.testing.assert_allclose(cycles(200 + 100 * times), 200 * times + 50 * times**2, atol=1e-9)


def test_high_frequencies_are_present_and_nothing_sounds_above_the_band():
    audio = middle(say(Syllable((), "a")), "a")
    assert 1e-9 < power(audio, 12000, 16000) / power(audio, 0, 4000) < 1e-3
    for pitch in (40, 64, 90):
        audio = say(Syllable(("s",), "a"), pitch, "sofia").audio
        # -90 dB: 16 bits of silence
        assert power(audio, 19600, RATE / 2) < 1e-9 * power(audio, 0, RATE / 2)


@pytest.mark.parametrize("vowel", ["a", "e", "i", "o", "u"])
def test_vowels_have_their_formants(vowel):
    singer = replace(SINGERS["ivan"], tract=17.0, shape=(1.0, 1.0, 1.0, 1.0), vibrato_depth=0.0)
    score = MusicScore((Note(0.4, 1.4, 36, Syllable((), vowel)),), 1.8)
    audio = sing(score, singer).audio[round(0.6 * RATE) : round(1.2 * RATE)]
    formants = PHONES[vowel].formants
    assert formants is not None
    valleys = 0.5 * sum(formants[:2]), 0.5 * sum(formants[1:3])
    for formant, valley in zip(formants[:2], valleys, strict=True):
        # two harmonics at least are in each band
        peak = power(audio, formant - 75, formant + 75) / power(audio, valley - 75, valley + 75)
        assert peak > 2, (formant, valley)


@pytest.mark.parametrize(
    ("consonant", "low", "high"),
    [("s", 4000, 16000), ("sh", 2000, 8000), ("f", 3000, 18000), ("t", 700, 16000), ("k", 1000, 6000)],
)
def test_unvoiced_consonants_are_noise_in_their_band(consonant, low, high):
    performance = say(Syllable((consonant,), "a"))
    noise = middle(performance, consonant)
    assert power(noise, low, high) > 0.7 * power(noise, 0, RATE / 2)
    assert -45 < 20 * np.log10(rms(noise) / rms(middle(performance, "a"))) < -6
    assert not np.array_equal(noise, middle(say(Syllable((consonant,), "a"), seed=1), consonant))


def test_closures_are_silent():
    for stop in ("p", "t", "k"):
        performance = say(Syllable(("m",), "a", (stop,)))
        # -50 dB: the decay of the tract
        assert rms(middle(performance, f"{stop}cl")[-500:]) < 0.003 * rms(middle(performance, "a"))


@pytest.mark.parametrize("sound", ["m", "n", "l", "r", "v", "z", "bcl", "dcl", "gcl"])
def test_voiced_consonants_are_softer_than_vowels_and_voiced(sound):
    performance = say(Syllable((sound.removesuffix("cl"),), "a"))
    level = 20 * np.log10(rms(middle(performance, sound)) / rms(middle(performance, "a")))
    assert -40 < level < -2
    start, end, _ = next(phone for phone in performance.phones if phone.name == sound)
    assert performance.f0_at(np.array([0.5 * (start + end)]))[0] > 0


def test_audio_true_pitch_and_bursts_are_aligned():
    performance = say(Syllable((), "a"), 69, "sofia")
    turns = np.interp(
        np.arange(len(performance.audio)) / RATE,
        np.arange(len(performance.pitch)) / GRID_RATE,
        cycles(performance.pitch),
    )
    # one harmonic, demodulated by the true phase: only the resonances it passes move it
    beam = np.convolve(performance.audio * np.exp(-2j * np.pi * turns), np.hanning(441), mode="same")
    steady = np.unwrap(np.angle(beam[round(0.7 * RATE) : round(1.2 * RATE)]))
    # a lag of 1 ms, which no tracker would detect, turns it by 0.06 with this vibrato
    assert steady.std() < 0.04

    performance = say(Syllable(("t",), "a"))
    start = round(next(phone.start for phone in performance.phones if phone.name == "t") * RATE)
    burst = np.abs(performance.audio[start - 2000 : start + 800])
    assert abs(int(np.argmax(burst > 0.3 * burst.max())) - 2000) < 0.003 * RATE
