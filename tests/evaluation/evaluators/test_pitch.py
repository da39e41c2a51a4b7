import numpy as np
import pytest

from evaluation.conversions import Conversion, SourceSong
from evaluation.evaluators.base import EvalInputs
from evaluation.evaluators.cloning import Distortion, copy_synthesis
from evaluation.evaluators.pitch import Melody, compare_melodies, pitch_score
from modules.config import DataConfig
from modules.dsp.f0 import raw_pitch_accuracy
from modules.f0_predictor import F0_PREDICTORS
from synthetic_voice import compose, sing
from tests.support.golden_cases import voice
from vdecoder import VOCODERS


@pytest.fixture(scope="module")
def song() -> SourceSong:
    performance = sing(compose("bruno", 3.0, 0), "bruno", seed=0)
    f0 = performance.f0_at(np.arange(len(performance.audio) // 512) * 512 / 44100)
    return SourceSong("a", performance.audio, 44100, f0, (f0 > 0).astype(np.float32))


def test_melodies_are_compared_in_cents_and_by_voicing():
    true = np.array([100.0, 200.0, 300.0, 400.0, 7.0])
    estimate = np.array([100.0, 200.0 * 2 ** (49 / 1200), 300.0 * 2 ** (51 / 1200), 400.0, 500.0])
    uv, estimate_uv = np.array([1, 1, 1, 1, 0.0]), np.array([1, 1, 1, 0, 1.0])
    score = compare_melodies(true, estimate, uv, estimate_uv)
    # the fourth is right, though it is called unvoiced; training measures it the same way
    assert score["f0_accuracy"] == 0.75 == raw_pitch_accuracy(true * uv, estimate)
    assert raw_pitch_accuracy(true, estimate[:2]) == 1.0
    assert score["f0_cents"] == pytest.approx((0 + 49 + 51) / 3, abs=1e-6)
    assert score["voicing"] == 0.6


def test_without_a_voiced_frame_there_is_no_melody():
    score = compare_melodies(np.ones(3), np.ones(3), np.zeros(3), np.array([0, 0, 1.0]))
    assert np.isnan(score["f0_accuracy"]) and np.isnan(score["f0_cents"])
    assert score["voicing"] == pytest.approx(2 / 3)
    score = compare_melodies(np.ones(2), np.zeros(2), np.ones(2), np.zeros(2))
    assert score["f0_accuracy"] == 0 and np.isnan(score["f0_cents"]) and score["voicing"] == 0
    assert np.isnan(compare_melodies(*[np.zeros(0)] * 4)["voicing"])


def test_an_exact_copy_scores_high_and_a_wrong_key_scores_nothing(song):
    score = pitch_score(song, song.audio)
    assert score.value > 0.9 and score.reference > 0.9
    moved = SourceSong("a", song.audio, 44100, song.f0, song.uv, key=3)
    wrong = pitch_score(moved, song.audio)  # which was not transposed
    assert wrong.value < 0.05 and wrong.reference > 0.85


def test_the_reference_of_a_melody_is_the_resynthesis(song):
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
