import numpy as np
import pytest

from cluster import unit_reader as dataset
from cluster.index_builder import build_index, list_count
from cluster.index_file import open_index
from cluster.search import Vectors
from cluster.unit_reader import ArrayFrames, SpeakerUnits, sample
from modules.common.errors import FeatureError
from modules.dataset.feature_record import FeatureRecord, identify
from modules.dataset.features import save_feature
from tests.cluster.data import DIMS, common_share, draw, write_clip, write_speaker


def test_all_vectors_are_found_again_in_the_published_number_of_lists(tmp_path):
    numbers = {1: 0, 38: 0, 39: 1, 100: 2, 10_000: 256, 200_000: 5128, 1_000_000: 16_000}
    assert {n: list_count(n) for n in numbers} == numbers
    for n in (1, 39, 3000):
        frames = draw(n)
        built = build_index(tmp_path / "i.pkl", {"a": ArrayFrames(frames)}, {"a": 0}, "mfcc")["a"]
        assert (built.n_frames, built.n_vectors, built.n_lists) == (n, n, list_count(n))
        scores, found = open_index(tmp_path / "i.pkl").load(0).nearest(frames, 1)
        assert scores.max() < 1e-3
        np.testing.assert_array_equal(found[:, 0], frames)


def test_the_recall_that_is_printed_is_that_of_searches(tmp_path):
    frames, queries = draw(20_000, 16, seed=1), draw(500, 16, seed=2)
    _, wanted = Vectors.flat(frames).nearest(queries, 8)
    nprobes = []
    for recall in (0.5, 0.95, 1.0):
        path = tmp_path / f"{recall}.pkl"
        built = build_index(path, {"a": ArrayFrames(frames)}, {"a": 0}, "mfcc", recall=recall)["a"]
        assert recall <= built.recall <= 1.0
        _, found = open_index(path).load(0).nearest(queries, 8)
        # other queries of the same kind, hence 500 · 8 trials: a deviation of 0.008 at 0.5
        assert common_share(found, wanted) == pytest.approx(built.recall, abs=0.04)
        nprobes.append(built.nprobe)
    assert 1 <= nprobes[0] < nprobes[1] < nprobes[2] <= list_count(20_000)


def test_reading_in_batches_changes_nothing(tmp_path, monkeypatch):
    write_speaker(tmp_path / "44k", "a", 900, n_clips=7)
    frames = ArrayFrames(np.concatenate([part for _, part in SpeakerUnits(tmp_path / "44k/a").batches()]))
    whole = build_index(tmp_path / "whole.pkl", {"a": frames}, {"a": 0}, "mfcc")
    monkeypatch.setattr(dataset, "_BATCH", 100)
    units = SpeakerUnits(tmp_path / "44k/a")
    assert [begin for begin, _ in units.batches()] == [0, 129, 258, 387, 516, 644, 772]
    assert build_index(tmp_path / "parts.pkl", {"a": units}, {"a": 0}, "mfcc") == whole
    assert (tmp_path / "parts.pkl").read_bytes() == (tmp_path / "whole.pkl").read_bytes()


def test_a_failed_build_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "i.pkl"
    path.write_text("old")
    monkeypatch.setattr("cluster.index_builder._tune_nprobe", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build_index(path, {"a": ArrayFrames(draw(90))}, {"a": 0}, "mfcc")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_units_are_read_from_the_disk_in_any_order(tmp_path):
    frames = write_speaker(tmp_path, "an na", 50, n_clips=7)
    units = SpeakerUnits(tmp_path / "an na")
    assert (units.name, units.encoder, units.ssl_dim, units.n_frames) == ("an na", "mfcc", DIMS, 50)
    for numbers in ([], [0], [49], [3, 4, 30], range(50)):
        np.testing.assert_array_equal(units.pick(np.array(numbers, int)), frames[list(numbers)])
    np.testing.assert_array_equal(sample(units, 1000), frames)
    drawn = sample(units, 20)
    assert len(np.unique(drawn, axis=0)) == 20
    np.testing.assert_array_equal(drawn, sample(ArrayFrames(frames), 20))


def test_perturbed_copies_and_failed_clips_are_left_out_and_others_must_be_alike(tmp_path):
    good = write_clip(tmp_path / "a", "good", draw(10))
    save_feature(good, "perturbed_units", np.ones((3, DIMS, 10), np.float32))
    bad = tmp_path / "a" / "bad.wav"
    bad.touch()
    with pytest.raises(FeatureError, match=r"bad\.wav\.soft\.pt is missing; run preprocess_hubert_f0\.py"):
        SpeakerUnits(tmp_path / "a")
    FeatureRecord(audio=identify(bad), failed="silent").save(bad)
    assert SpeakerUnits(tmp_path / "a").n_frames == 10
    good.unlink()
    with pytest.raises(FeatureError, match="no recording in .*a could be used"):
        SpeakerUnits(tmp_path / "a")
    folder = tmp_path / "b"
    write_clip(folder, "1", draw(10), encoder="")
    assert SpeakerUnits(folder).encoder == ""
    write_clip(folder, "1", draw(10))
    for second, encoder, message in [
        (draw(10), "vec256l9", ".*encoder mfcc; .*encoder vec256l9"),
        (draw(10, 8), "mfcc", ".*channels: 12; .*channels: 8"),
    ]:
        write_clip(folder, "2", second, encoder)
        with pytest.raises(FeatureError, match=f"not all units are alike: {message}"):
            SpeakerUnits(folder)
