import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from cluster.kmeans import fit_centres
from cluster.kmeans_file import read_centres, write_centres
from modules.checkpoint import read_checkpoint
from modules.common.errors import CheckpointError
from tests.cluster.data import DIMS, draw, write_published_kmeans


def error(frames, centres):
    return float(((frames[:, None] - centres) ** 2).sum(2).min(1).mean())


def test_centres_are_near_to_the_frames():
    frames = draw(2000)
    centres = fit_centres(frames, 60)
    assert centres.shape == (60, DIMS) and centres.dtype == np.float32
    assert error(frames, centres) < 1.02 * error(
        frames, KMeans(60, n_init=1, random_state=0).fit(frames).cluster_centers_
    )
    np.testing.assert_array_equal(fit_centres(frames, 60), centres)


def test_there_are_never_more_centres_than_frames():
    frames = draw(30)
    for n_centres in (30, 31, 10_000):
        np.testing.assert_array_equal(fit_centres(frames, n_centres), frames)
    assert len(fit_centres(frames, 29)) == 29
    assert fit_centres(frames, 1) == pytest.approx(frames.mean(0, keepdims=True), abs=1e-4)  # float32 means
    np.testing.assert_allclose(
        fit_centres(np.ones((500, DIMS), np.float32), 10), np.ones((10, DIMS)), rtol=1e-6
    )


def test_the_file_is_plain_and_in_the_published_layout(tmp_path):
    path = tmp_path / "kmeans_10000.pt"
    own = {"anna": draw(5), "花子": draw(7, seed=1)}
    write_centres(path, own, "vec768l12")
    content = torch.load(path, weights_only=True)
    assert list(content) == ["anna", "花子"]
    assert {"n_features_in_", "_n_threads", "cluster_centers_"} <= content["anna"].keys()
    assert content["anna"]["n_features_in_"] == DIMS
    centres, encoder = read_centres(path)
    assert encoder == "vec768l12" and {*centres} == {*own}
    assert all(np.array_equal(centres[name], own[name]) for name in own)
    assert read_checkpoint(path)["anna"]["speech_encoder"] == "vec768l12"


def test_published_files_are_read(tmp_path):
    """Whatever their type and order; in full size, all of which is the pickle."""
    small = {
        f"{dtype} {order}": draw(30).astype(dtype, order=order)  # type: ignore[call-overload]
        for dtype in ("f4", "f8", "f2")
        for order in "CF"
    }
    large = {f"s{number}": draw(10_000, 64, seed=number) for number in range(4)}
    for centres in (small, large):
        path = write_published_kmeans(tmp_path / "k.pt", centres)
        found, encoder = read_centres(path)
        assert encoder == "" and found.keys() == centres.keys()
        for name, values in centres.items():
            assert found[name].dtype == np.float32
            np.testing.assert_array_equal(found[name], values.astype(np.float32))
    assert path.stat().st_size > 10_000_000
    with pytest.raises(CheckpointError, match="more text than a model needs"):
        read_checkpoint(path)


def test_other_files_are_refused(tmp_path):
    path, values = tmp_path / "k.pt", torch.ones(2)
    for content, message in [
        ({}, "has no speaker"),
        ({"model": {"weight": values}}, "is not a k-means file; make one with"),
        ({"anna": {"cluster_centers_": values}}, "is not a k-means file"),
        ({"anna": {"cluster_centers_": values[:0, None]}}, "is not a k-means file"),
        ({"anna": {"cluster_centers_": values[:, None] * torch.nan}}, "'anna' hold NaN"),
        ({"anna": {"cluster_centers_": np.array([[None]])}}, "a numpy type that is not a number"),
    ]:
        torch.save(content, path)
        with pytest.raises(CheckpointError, match=message) as caught:
            read_centres(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
