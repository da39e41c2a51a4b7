import subprocess
import sys
from pathlib import Path

import numpy as np

from cluster import train_cluster
from cluster.kmeans_file import read_centres
from tests.cluster.data import DIMS, draw, write_clip, write_speaker


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
