"""Clicks, silence, loudness and speed: evaluators without optional packages."""

import numpy as np
import pytest

from evaluation.conversions import Conversion, SourceSong
from evaluation.evaluators.base import EvalInputs
from evaluation.evaluators.clicks import Clicks, count_clicks, find_clicks
from evaluation.evaluators.loudness import Loudness, Speed
from evaluation.evaluators.silence import SilenceLeakage, find_silence, frame_levels, leakage
from tests.support.golden_cases import voice

RATE = 44100
TONE = 0.3 * np.sin(2 * np.pi * 220 * np.arange(2 * RATE) / RATE)


def convert(source: np.ndarray, result: np.ndarray, text: str = "", **facts) -> Conversion:
    n = len(source) // 512
    f0, uv = np.full(n, 220.0, np.float32), np.ones(n, np.float32)
    return Conversion(SourceSong("a", source, RATE, f0, uv, text=text), result, **facts)


def test_a_voice_does_not_click_though_it_pulses():
    for hz in (60.0, 110.0, 440.0):
        pulses = np.zeros(RATE, np.float32)
        pulses[:: round(RATE / hz)] = 0.5
        assert not find_clicks(pulses, RATE)[10:-10].any()
        assert not find_clicks(voice(1.0, RATE, hz), RATE)[10:-10].any()


def test_a_jump_in_a_steady_tone_is_found_where_it_is():
    t = np.arange(RATE) / RATE
    for at in (10_000, 20_001, 33_333):
        tone = TONE[:RATE].copy()
        tone[at:] = 0.3 * np.sin(2 * np.pi * 220 * t[at:] + 1.5)
        (found,) = np.flatnonzero(find_clicks(tone, RATE)[10:-10]) + 10
        assert abs(found - at / 88) < 2


def test_clicks_at_joins_and_elsewhere_are_counted_apart():
    audio = TONE.copy()
    for at in (20_000, 40_000, 60_000):
        audio[at] += 0.3
    at_joins, elsewhere = count_clicks(audio, [(19_900, 20_100), (50_000, 50_882)], RATE)
    assert at_joins == 0.5
    assert elsewhere == pytest.approx(2 * 30, rel=0.01)  # in 2 s
    assert np.isnan(count_clicks(audio, [], RATE)[0])
    assert all(np.isnan(count_clicks(np.zeros(n), [], RATE)[1]) for n in (0, 50))
    quiet = np.zeros(RATE)
    quiet[20_000] = 1e-4
    assert not find_clicks(quiet, RATE).any()


def test_the_reference_of_clicks_is_the_source_at_the_same_places():
    source = voice(1.0, RATE)
    result = source.copy()
    result[10_000:] += 0.3
    scores = Clicks(EvalInputs()).evaluate(convert(source, result, joins=[(10_000, 10_000)]))
    assert (scores["clicks_at_seams"].value, scores["clicks_at_seams"].reference) == (1.0, 0.0)
    assert scores["clicks_elsewhere"].value == scores["clicks_elsewhere"].reference == 0


def test_leakage_is_the_level_in_silences_of_the_source():
    source = np.concatenate([voice(1.0, RATE), np.zeros(RATE, np.float32)])
    noise = np.random.default_rng(0).standard_normal(len(source))
    loud = 10 * np.log10(np.mean(np.square(source[:RATE], dtype=np.float64)))
    result = source.astype(np.float64)
    result[RATE:] += noise[RATE:] * 10 ** ((loud - 30) / 20)
    score, louder = (
        SilenceLeakage(EvalInputs()).evaluate(convert(source, gain * result))["silence_leak"]
        for gain in (1, 4)
    )
    assert score.value == pytest.approx(-30, abs=2.5)  # singing is the level of its loudest 5 %
    assert score.reference < -100 and louder.value == pytest.approx(score.value)


def test_silences_are_found_and_without_one_or_a_sound_there_is_no_leakage():
    sung = voice(1.0, RATE)
    assert np.isnan(leakage(sung, find_silence(frame_levels(sung, RATE)), RATE))
    assert np.isnan(leakage(np.zeros(RATE), np.ones(50, bool), RATE))
    assert not find_silence(frame_levels(np.zeros(10), RATE)).any()
    paused = np.concatenate([voice(0.5, RATE), np.zeros(RATE // 2, np.float32)])
    silent = find_silence(frame_levels(paused, RATE))
    assert not silent[:28].any() and silent[29:].all()  # from some frames after the singing


def test_loudness_and_speed_are_passed_on():
    audio = voice(1.0, RATE)
    made = convert(audio, audio * 0.5, real_time_factor=0.25)
    loudness = Loudness(EvalInputs()).evaluate(made)["loudness"]
    assert loudness.value == pytest.approx(loudness.reference - 6.02, abs=0.1)
    assert np.isnan(Loudness(EvalInputs()).evaluate(convert(audio, audio * 0))["loudness"].value)
    assert Speed(EvalInputs()).evaluate(made)["real_time_factor"].value == 0.25
