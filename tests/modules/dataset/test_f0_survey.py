import numpy as np

from modules.dataset.f0_survey import F0Survey, survey_f0
from modules.dataset.features import save_feature


def test_the_range_is_of_voiced_frames_per_speaker(tmp_path):
    wavs = []
    for speaker, hz in (("a", [100, 200, 300]), ("a", [400, 500]), ("mute", [])):
        wavs.append(tmp_path / speaker / f"{len(hz)}.wav")
        f0, uv = np.full((2, 8), 999, np.float32) * [[1], [0]]
        f0[: len(hz)], uv[: len(hz)] = hz, 1
        save_feature(wavs[-1], "f0", np.stack([f0, uv]))
    found = survey_f0(wavs)
    assert {speaker: (survey.range, survey.voiced) for speaker, survey in found.items()} == {
        "a": ([120.0, 300.0, 480.0], 5 / 16),
        "mute": (None, 0.0),
    }
    assert survey_f0([]) == {}


def test_counting_gives_the_percentiles_of_all_frames_and_does_not_keep_them():
    rng, survey = np.random.default_rng(0), F0Survey()
    tracks = [rng.normal(rng.uniform(150, 400), 20, 300).astype(np.float32) for _ in range(40)]
    for f0 in tracks:
        survey.add(f0, np.ones(300))
    # to a tenth of a hertz: values are rounded to that before they are counted, and the result after
    np.testing.assert_allclose(
        survey.range, np.percentile(np.concatenate(tracks), [5, 50, 95]), rtol=0, atol=0.1 + 1e-9
    )
    assert survey.counts.nbytes < sum(f0.nbytes for f0 in tracks)
    survey.add(np.array([1e30, -5.0]), np.ones(2))  # whatever a file holds, the counts stay small
    assert survey.counts.nbytes < 2**21
