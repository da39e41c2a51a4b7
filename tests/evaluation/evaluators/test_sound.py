"""Clicks, silence, loudness, speed and pitch: evaluators without optional packages."""

import numpy as np
import pytest

from evaluation.conversions import Conversion, SourceSong
from evaluation.evaluators.base import EvalInputs
from evaluation.evaluators.clicks import Clicks, count_clicks, find_clicks
from evaluation.evaluators.cloning import Distortion, copy_synthesis
from evaluation.evaluators.loudness import Loudness, Speed
from evaluation.evaluators.pitch import Melody, compare_melodies, pitch_score
from evaluation.evaluators.silence import SilenceLeakage, find_silence, frame_levels, leakage
from modules.config import DataConfig
from modules.dsp.f0 import raw_pitch_accuracy
from modules.f0_predictor import F0_PREDICTORS
from synthetic_voice import compose, sing
from tests.support.golden_cases import voice
from vdecoder import VOCODERS

RATE = 44100
TONE = 0.3 * np.sin(2 * np.pi * 220 * np.arange(2 * RATE) / RATE)


def convert(source: np.ndarray, result: np.ndarray, text: str = "", **facts) -> Conversion:
    n = len(source) // 512
    f0, uv = np.full(n, 220.0, np.float32), np.ones(n, np.float32)
    return Conversion(SourceSong("a", source, RATE, f0, uv, text=text), result, **facts)


def test_a_voice_does_not_click_though_it_pulses_and_a_jump_is_found_where_it_is():
    for hz in (60.0, 110.0, 440.0):
        pulses = np.zeros(RATE, np.float32)
        pulses[:: round(RATE / hz)] = 0.5
        assert not find_clicks(pulses, RATE)[10:-10].any()
        assert not find_clicks(voice(1.0, RATE, hz), RATE)[10:-10].any()
    t = np.arange(RATE) / RATE
    for at in (10_000, 20_001, 33_333):
        tone = TONE[:RATE].copy()
        tone[at:] = 0.3 * np.sin(2 * np.pi * 220 * t[at:] + 1.5)
        (found,) = np.flatnonzero(find_clicks(tone, RATE)[10:-10]) + 10
        assert abs(found - at / 88) < 2


def test_clicks_at_joins_and_elsewhere_are_counted_apart_as_in_the_source():
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
    source = voice(1.0, RATE)
    result = source.copy()
    result[10_000:] += 0.3
    scores = Clicks(EvalInputs()).evaluate(convert(source, result, joins=[(10_000, 10_000)]))
    assert (scores["clicks_at_seams"].value, scores["clicks_at_seams"].reference) == (1.0, 0.0)
    assert scores["clicks_elsewhere"].value == scores["clicks_elsewhere"].reference == 0


def test_leakage_is_the_level_in_silences_of_the_source_if_there_are_any():
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


@pytest.fixture(scope="module")
def song() -> SourceSong:
    performance = sing(compose("bruno", 3.0, 0), "bruno", seed=0)
    f0 = performance.f0_at(np.arange(len(performance.audio) // 512) * 512 / 44100)
    return SourceSong("a", performance.audio, 44100, f0, (f0 > 0).astype(np.float32))


def test_melodies_are_compared_in_cents_and_by_voicing_where_there_are_voiced_frames():
    true = np.array([100.0, 200.0, 300.0, 400.0, 7.0])
    estimate = np.array([100.0, 200.0 * 2 ** (49 / 1200), 300.0 * 2 ** (51 / 1200), 400.0, 500.0])
    uv, estimate_uv = np.array([1, 1, 1, 1, 0.0]), np.array([1, 1, 1, 0, 1.0])
    score = compare_melodies(true, estimate, uv, estimate_uv)
    # the fourth is right, though it is called unvoiced; training measures it the same way
    assert score["f0_accuracy"] == 0.75 == raw_pitch_accuracy(true * uv, estimate)
    assert raw_pitch_accuracy(true, estimate[:2]) == 1.0
    assert score["f0_cents"] == pytest.approx((0 + 49 + 51) / 3, abs=1e-6)
    assert score["voicing"] == 0.6
    score = compare_melodies(np.ones(3), np.ones(3), np.zeros(3), np.array([0, 0, 1.0]))
    assert np.isnan(score["f0_accuracy"]) and np.isnan(score["f0_cents"])
    assert score["voicing"] == pytest.approx(2 / 3)
    score = compare_melodies(np.ones(2), np.zeros(2), np.ones(2), np.zeros(2))
    assert score["f0_accuracy"] == 0 and np.isnan(score["f0_cents"]) and score["voicing"] == 0
    assert np.isnan(compare_melodies(*[np.zeros(0)] * 4)["voicing"])


def test_an_exact_copy_scores_high_a_wrong_key_nothing_and_the_reference_is_the_resynthesis(song):
    score = pitch_score(song, song.audio)
    assert score.value > 0.9 and score.reference > 0.9
    moved = SourceSong("a", song.audio, 44100, song.f0, song.uv, key=3)
    wrong = pitch_score(moved, song.audio)  # which was not transposed
    assert wrong.value < 0.05 and wrong.reference > 0.85
    scores = Melody(EvalInputs()).evaluate(Conversion(song, song.resynthesis))
    assert scores.keys() == {"f0_accuracy", "f0_cents", "voicing"}
    assert all(score.value == score.reference for score in scores.values())
    assert len(song.resynthesis) == len(song.audio)


def test_the_reference_of_a_distortion_is_the_vocoder_alone():
    audio = voice(1.0, 44100)
    f0, uv = F0_PREDICTORS.build("pm", sampling_rate=44100).predict(audio)
    vocoder = VOCODERS.build("world", DataConfig(), "cpu")
    copy = copy_synthesis(audio, DataConfig(), vocoder, f0 * uv, uv)
    assert len(copy) == len(f0) * 512
    song = SourceSong("a", audio, 44100, f0, uv)
    evaluator = Distortion(EvalInputs())
    score = evaluator.evaluate(Conversion(song, audio, copy_synthesis=copy))["mcd"]
    assert score.value == 0 and 0.5 < score.reference < 10
    assert np.isnan(evaluator.evaluate(Conversion(song, audio))["mcd"].reference)
