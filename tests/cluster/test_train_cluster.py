import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cluster import train_cluster
from cluster.kmeans_file import read_centres
from tests.cluster.data import DIMS, draw, write_clip, write_speaker

ROOT = Path(train_cluster.__file__).parents[1]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys, caplog):
    """Run the script in an empty folder; return (exit code, everything it said)."""
    monkeypatch.chdir(tmp_path)

    def call(*args: str):
        code = train_cluster.main([*args])
        printed = capsys.readouterr()
        return code, printed.out + printed.err + caplog.text

    return call


def test_as_the_readme_of_the_published_project_says(tmp_path):
    own = write_speaker(tmp_path / "dataset/44k", "花子", 60)
    write_speaker(tmp_path / "dataset/44k", "anna b", 40, seed=1)
    script = [sys.executable, str(ROOT / "cluster/train_cluster.py")]
    done = subprocess.run(
        [*script, "--dataset", "./dataset/44k", "--output", "logs/44k", "--gpu"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "花子: 60 centres of 60 frames" in done.stdout and "wrote" in done.stdout
    centres, encoder = read_centres(tmp_path / "logs/44k/kmeans_10000.pt")
    assert encoder == "mfcc" and list(centres) == ["anna b", "花子"]
    np.testing.assert_array_equal(centres["花子"], own)


def test_help_teaches_without_loading_anything_heavy():
    code = (
        "import sys, contextlib\nfrom cluster import train_cluster\n"
        "with contextlib.suppress(SystemExit): train_cluster.main(['--help'])\n"
        "sys.exit(bool({'torch', 'sklearn', 'faiss', 'scipy', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "examples:" in done.stdout


def test_fewer_centres_than_frames(run, monkeypatch):
    write_speaker(Path("dataset/44k"), "anna", 200)
    code, said = run("--n_centres", "20")
    assert code == 0 and "anna: 20 centres of 200 frames" in said
    centres, _ = read_centres(Path("logs/44k/kmeans_10000.pt"))
    assert centres["anna"].shape == (20, DIMS)
    monkeypatch.setattr("cluster.kmeans.MOST_FRAMES", 50)
    code, said = run()
    assert code == 0 and "anna: 50 centres of 50 frames (drawn from 200)" in said


def test_mistakes_are_reported(run):
    def refuses(message, *args):
        code, said = run(*args)
        assert code == 2 and message in said, said

    root = Path("dataset/44k")
    refuses("--n_centres must be above 0, not 0", "--n_centres", "0")
    refuses("there is no folder dataset")
    root.mkdir(parents=True)
    refuses("holds no speaker's folder")
    (root / "a").mkdir()
    refuses("is empty: no recordings of 'a'")
    write_clip(root / "a", "1", draw(9))
    write_clip(root / "b", "1", draw(9, 8))
    refuses("the units of 'a' are of mfcc (12 channels), those of 'b' of mfcc (8)")
    assert not Path("logs").exists()
