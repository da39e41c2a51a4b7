import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from cluster import train_cluster
from cluster.kmeans import fit_centres
from cluster.kmeans_file import read_centres, write_centres
from modules.checkpoint import read_checkpoint
from modules.common.errors import CheckpointError
from tests.cluster.data import DIMS, draw, write_clip, write_published_kmeans, write_speaker


def error(frames, centres):
    return float(((frames[:, None] - centres) ** 2).sum(2).min(1).mean())


def test_centres_are_near_to_the_frames_and_never_more():
    frames = draw(2000)
    centres = fit_centres(frames, 60)
    assert centres.shape == (60, DIMS) and centres.dtype == np.float32
    assert error(frames, centres) < 1.02 * error(
        frames, KMeans(60, n_init=1, random_state=0).fit(frames).cluster_centers_
    )
    np.testing.assert_array_equal(fit_centres(frames, 60), centres)
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


def test_an_encoder_that_is_no_text_is_not_known(tmp_path):
    path = tmp_path / "k.pt"
    endless = ["mfcc" * 1000] * 1000  # of one text in the file
    torch.save({"anna": {"cluster_centers_": torch.ones(2, 3), "speech_encoder": endless}}, path)
    assert read_centres(path)[1] == ""


def test_as_the_readme_of_the_published_project_says(tmp_path):
    own = write_speaker(tmp_path / "dataset/44k", "花子", 60)
    write_speaker(tmp_path / "dataset/44k", "anna b", 40, seed=1)
    command = [
        sys.executable,
        train_cluster.__file__,
        *"--dataset ./dataset/44k --output logs/44k --gpu".split(),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "花子: 60 centres of 60 frames" in done.stdout and "wrote" in done.stdout
    centres, encoder = read_centres(tmp_path / "logs/44k/kmeans_10000.pt")
    assert encoder == "mfcc" and list(centres) == ["anna b", "花子"]
    np.testing.assert_array_equal(centres["花子"], own)


def test_fewer_centres_than_frames(script, monkeypatch):
    write_speaker(Path("dataset/44k"), "anna", 200)
    assert "anna: 20 centres of 200 frames" in script(train_cluster.main, "--n_centres", 20).out
    centres, _ = read_centres(Path("logs/44k/kmeans_10000.pt"))
    assert centres["anna"].shape == (20, DIMS)
    monkeypatch.setattr("cluster.kmeans.MOST_FRAMES", 50)
    assert "anna: 50 centres of 50 frames (drawn from 200)" in script(train_cluster.main).out


def test_mistakes_are_one_line(script):
    def refuses(message, *args):
        assert script(train_cluster.main, *args).is_mistake(message)

    root = Path("dataset/44k")
    refuses("--n_centres must be above 0, not 0", "--n_centres", 0)
    refuses("there is no folder dataset")
    root.mkdir(parents=True)
    refuses("holds no speaker's folder")
    (root / "a").mkdir()
    refuses("is empty: no recordings of 'a'")
    write_clip(root / "a", "1", draw(9))
    write_clip(root / "b", "1", draw(9, 8))
    refuses("the units of 'a' are of mfcc (12 channels), those of 'b' of mfcc (8)")
    assert not Path("logs").exists()
