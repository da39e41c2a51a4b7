import numpy as np

from evaluation.metrics import pitch_score, raw_pitch_accuracy
from singer import SINGERS, compose, sing


def test_raw_pitch_accuracy_counts_voiced_frames_within_the_limit():
    reference = np.array([0.0, 100, 200, 300, 400])
    estimate = np.array([500.0, 100, 200 * 2 ** (49 / 1200), 300 * 2 ** (51 / 1200), 0])
    assert raw_pitch_accuracy(reference, estimate) == 0.5
    assert raw_pitch_accuracy(reference, estimate[:3]) == 1.0
    assert np.isnan(raw_pitch_accuracy(np.zeros(3), np.ones(3)))


def test_a_true_copy_scores_high_and_a_wrong_key_scores_nothing():
    singer = next(iter(SINGERS.values()))
    performance = sing(compose(singer, 3.0, 0), singer, seed=0)
    n = len(performance.audio) // 512
    f0 = performance.f0_at(np.arange(n) * 512 / 44100)
    arguments = (performance.audio, performance.audio, f0, (f0 > 0).astype(np.float32))
    score = pitch_score(*arguments, key=0, sampling_rate=44100)
    assert score.conversion > 0.9 and score.ceiling > 0.9
    wrong = pitch_score(*arguments, key=3, sampling_rate=44100)  # it was never moved
    assert wrong.conversion < 0.05 and wrong.ceiling > 0.85
