"""Clicks, silence, loudness and speed: judges that need nothing beside this project."""

import numpy as np
import pytest

from evaluation.conversions import Song, Take
from evaluation.evaluators.base import Given
from evaluation.evaluators.clicks import Clicks, count_clicks, find_clicks
from evaluation.evaluators.loudness import Loudness, Speed
from evaluation.evaluators.silence import Silence, leak, levels, rests
from tests.support.golden_cases import voice

RATE = 44100


def song_of(audio: np.ndarray) -> Song:
    n = len(audio) // 512
    return Song("a", audio, RATE, np.full(n, 220.0, np.float32), np.ones(n, np.float32))


@pytest.mark.parametrize("hz", [60.0, 110.0, 440.0])
def test_a_voice_does_not_click_though_it_pulses(hz):
    pulses = np.zeros(RATE, np.float32)
    pulses[:: round(RATE / hz)] = 0.5
    assert not find_clicks(pulses, RATE)[10:-10].any()
    assert not find_clicks(voice(1.0, RATE, hz), RATE)[10:-10].any()


@pytest.mark.parametrize("at", [10_000, 20_001, 33_333])
def test_a_jump_in_a_steady_tone_is_found_where_it_is(at):
    t = np.arange(RATE) / RATE
    tone = 0.3 * np.sin(2 * np.pi * 220 * t)
    tone[at:] = 0.3 * np.sin(2 * np.pi * 220 * t[at:] + 1.5)
    (found,) = np.flatnonzero(find_clicks(tone, RATE)[10:-10]) + 10
    assert abs(found - at / 88) < 2


def test_clicks_are_told_apart_by_where_they_are():
    t = np.arange(2 * RATE) / RATE
    audio = 0.3 * np.sin(2 * np.pi * 220 * t)
    for at in (20_000, 40_000, 60_000):
        audio[at] += 0.3
    joins = [(19_900, 20_100), (50_000, 50_882)]
    at_joins, elsewhere = count_clicks(audio, joins, RATE)
    assert at_joins == 0.5
    assert elsewhere == pytest.approx(2 * 30, rel=0.01)  # in 2 s
    assert np.isnan(count_clicks(audio, [], RATE)[0])


def test_what_is_too_quiet_or_too_short_to_click():
    quiet = np.zeros(RATE)
    quiet[20_000] = 1e-4
    assert not find_clicks(quiet, RATE).any()
    assert np.isnan(count_clicks(np.zeros(50), [], RATE)[1])
    assert np.isnan(count_clicks(np.zeros(0), [], RATE)[1])


def test_the_judge_of_clicks_looks_at_the_same_places_of_the_source():
    source = voice(1.0, RATE)
    result = source.copy()
    result[10_000:] += 0.3
    scores = Clicks(Given()).judge(Take(song_of(source), result, joins=[(10_000, 10_000)]))
    assert (scores["clicks_at_seams"].value, scores["clicks_at_seams"].reference) == (1.0, 0.0)


def test_the_leak_is_the_level_where_the_source_rests():
    source = np.concatenate([voice(1.0, RATE), np.zeros(RATE, np.float32)])
    noise = np.random.default_rng(0).standard_normal(len(source))
    loud = 10 * np.log10(np.mean(np.square(source[:RATE], dtype=np.float64)))
    result = source.astype(np.float64)
    result[RATE:] += noise[RATE:] * 10 ** ((loud - 30) / 20)
    score = Silence(Given()).judge(Take(song_of(source), result))["silence_leak"]
    assert score.value == pytest.approx(-30, abs=2.5)  # singing is the level of its loudest 5 %
    assert score.reference < -100
    louder = Silence(Given()).judge(Take(song_of(source), 4 * result))["silence_leak"]
    assert louder.value == pytest.approx(score.value)


def test_without_a_rest_or_a_sound_there_is_no_leak():
    sung = voice(1.0, RATE)
    assert np.isnan(leak(sung, rests(levels(sung, RATE)), RATE))
    resting = np.ones(50, bool)
    assert np.isnan(leak(np.zeros(RATE), resting, RATE))
    assert not rests(levels(np.zeros(10), RATE)).any()


def test_a_rest_begins_some_way_after_the_singing():
    source = np.concatenate([voice(0.5, RATE), np.zeros(RATE // 2, np.float32)])
    resting = rests(levels(source, RATE))
    assert not resting[:28].any() and resting[29:].all()


def test_loudness_and_speed_are_passed_on():
    audio = voice(1.0, RATE)
    take = Take(song_of(audio), audio * 0.5, real_time_factor=0.25)
    loudness = Loudness(Given()).judge(take)["loudness"]
    assert loudness.value == pytest.approx(loudness.reference - 6.02, abs=0.1)
    assert np.isnan(Loudness(Given()).judge(Take(song_of(audio), audio * 0))["loudness"].value)
    assert Speed(Given()).judge(take)["real_time_factor"].value == 0.25
