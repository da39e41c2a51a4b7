import json
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch

import train_index
from cluster import load_blender
from cluster.index_file import open_index
from tests.cluster.data import DIMS, draw, write_clip, write_speaker


@pytest.fixture
def run(script):
    """Run the script in an empty folder with a configuration; return the outcome."""
    write_config({"花子": 0, "anna": 1})
    return lambda *args: script(train_index.main, *args)


def write_config(speakers, **model):
    values = {"model": {"speech_encoder": "mfcc", "ssl_dim": DIMS, **model}, "spk": speakers}
    Path("configs").mkdir(exist_ok=True)
    Path("configs/config.json").write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")


def test_from_the_features_of_step_3_to_blended_units(run):
    own = write_speaker(Path("dataset/44k"), "花子", 500)
    write_speaker(Path("dataset/44k"), "anna", 20, seed=1)
    done = run("-c", "configs/config.json", "--root_dir", "dataset/44k", "--output_dir", "logs/44k")
    assert "花子: 500 frames, all; 12 lists of which" in done.out and "recall@8 0.9" in done.out
    assert "anna: 20 frames, all; all compared, which is exact" in done.out
    blender = load_blender(
        "retrieval",
        "logs/44k/feature_and_index.pkl",
        speakers={"花子": 0, "anna": 1},
        encoder="mfcc",
        ssl_dim=DIMS,
    )
    np.testing.assert_allclose(blender.blend(own[:50].T, "花子", 1.0).T, own[:50], atol=1e-5)


def test_the_folder_of_a_name_in_another_unicode_form(run):
    write_speaker(Path("dataset/44k"), unicodedata.normalize("NFD", "Zoé"), 20)
    write_config({"Zoé": 0})
    assert "Zoé: 20 frames" in run("-c", "configs/config.json").out
    index = "logs/44k/feature_and_index.pkl"
    blender = load_blender("retrieval", index, speakers={"Zoé": 0}, encoder="mfcc", ssl_dim=DIMS)
    blender.prepare(unicodedata.normalize("NFD", "Zoé"))


def test_the_size_beyond_which_a_speaker_is_reduced(run, monkeypatch):
    monkeypatch.setattr("cluster.index_builder.N_CENTRES", 50)
    write_speaker(Path("dataset/44k"), "anna", 300)
    write_speaker(Path("dataset/44k"), "花子", 90)
    done = run("--max_frames", "200")
    assert "anna: 300 frames, reduced to 50;" in done.out and "花子: 90 frames, all;" in done.out
    index = open_index(Path("logs/44k/feature_and_index.pkl"))
    assert [len(index.load(number)) for number in (0, 1)] == [90, 50]
    done = run("--max_frames", "0", "--recall", "1.0")
    assert "300 frames, all; 7 lists" in done.out and "recall@8 1.000" in done.out


def test_mistakes_are_one_line(run):
    folder = Path("dataset/44k/anna")
    write_config({"anna": 0})

    def refuses(message, *args):
        done = run(*args)
        assert done.code == 2 and message in done.err.replace("\\", "/")

    refuses("there is no folder dataset/44k/anna for the speaker 'anna'")
    folder.mkdir(parents=True)
    refuses("is empty: no recordings of 'anna'")
    write_clip(folder, "x", draw(9), encoder="vec256l9")
    refuses("the units of 'anna' are of vec256l9 with 12 channels, but configs/config.json says mfcc with 12")
    shutil.rmtree(folder)
    write_clip(folder, "x", draw(9, 8), encoder="")
    refuses("the units of 'anna' are of an unknown encoder with 8 channels")
    (folder / "x.wav.soft.pt").unlink()
    refuses("x.wav.soft.pt is missing; run preprocess_hubert_f0.py")
    refuses("--recall must be above 0 and at most 1, not 0.0", "--recall", 0)
    refuses("--recall must be", "--recall", 1.5)
    refuses("--max_frames must be 0 or more, not -1", "--max_frames", -1)
    refuses("no.json", "-c", "no.json")
    write_config({})
    refuses("names no speakers (spk)")
    assert not Path("logs").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu_the_cpu_is_used(run):
    write_config({"anna": 0})
    write_speaker(Path("dataset/44k"), "anna", 20)
    assert "no GPU that torch can use; computing on the CPU" in run("--gpu").said
