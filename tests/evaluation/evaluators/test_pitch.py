import numpy as np
import pytest

from evaluation.conversions import Song, Take
from evaluation.evaluators.pitch import Melody, compare_melodies, pitch_score
from modules.dsp.f0 import raw_pitch_accuracy
from synthetic_voice import SINGERS, compose, sing


@pytest.fixture(scope="module")
def song() -> Song:
    singer = next(iter(SINGERS.values()))
    performance = sing(compose(singer, 3.0, 0), singer, seed=0)
    f0 = performance.f0_at(np.arange(len(performance.audio) // 512) * 512 / 44100)
    return Song("a", performance.audio, 44100, f0, (f0 > 0).astype(np.float32))


def test_raw_pitch_accuracy_counts_voiced_frames_within_the_limit():
    reference = np.array([0.0, 100, 200, 300, 400])
    estimate = np.array([500.0, 100, 200 * 2 ** (49 / 1200), 300 * 2 ** (51 / 1200), 0])
    assert raw_pitch_accuracy(reference, estimate) == 0.5
    assert raw_pitch_accuracy(reference, estimate[:3]) == 1.0
    assert np.isnan(raw_pitch_accuracy(np.zeros(3), np.ones(3)))


def test_a_melody_is_compared_in_cents_and_by_voicing():
    wanted = np.array([100.0, 200.0, 300.0, 400.0, 7.0])
    found = np.array([100.0, 200.0 * 2 ** (40 / 1200), 300.0 * 2 ** (100 / 1200), 400.0, 500.0])
    uv, heard = np.array([1, 1, 1, 1, 0.0]), np.array([1, 1, 1, 0, 1.0])
    score = compare_melodies(wanted, found, uv, heard)
    assert score.accuracy == 0.75  # the fourth is right, though it is not called voiced
    assert score.accuracy == raw_pitch_accuracy(wanted * uv, found)  # as training has it
    assert score.cents == pytest.approx((0 + 40 + 100) / 3, abs=1e-6)
    assert score.voicing == 0.6


def test_without_a_voiced_frame_there_is_no_melody():
    score = compare_melodies(np.ones(3), np.ones(3), np.zeros(3), np.array([0, 0, 1.0]))
    assert np.isnan(score.accuracy) and np.isnan(score.cents) and score.voicing == pytest.approx(2 / 3)
    score = compare_melodies(np.ones(2), np.zeros(2), np.ones(2), np.zeros(2))
    assert score.accuracy == 0 and np.isnan(score.cents) and score.voicing == 0
    assert np.isnan(compare_melodies(*[np.zeros(0)] * 4).voicing)


def test_a_true_copy_scores_high_and_a_wrong_key_scores_nothing(song):
    arguments = (song.audio, song.audio, song.f0, song.uv)
    score = pitch_score(*arguments, key=0, sampling_rate=44100)
    assert score.conversion > 0.9 and score.ceiling > 0.9
    wrong = pitch_score(*arguments, key=3, sampling_rate=44100)  # it was never moved
    assert wrong.conversion < 0.05 and wrong.ceiling > 0.85


def test_the_judge_of_melodies_hears_the_result_beside_its_ceiling(song):
    from evaluation.evaluators.base import Given

    scores = Melody(Given()).judge(Take(song, song.resynthesis))
    assert scores.keys() == {"f0_accuracy", "f0_cents", "voicing"}
    assert all(score.value == score.reference for score in scores.values())
    assert len(song.resynthesis) == len(song.audio)
