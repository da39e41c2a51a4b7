"""All numbered steps through their command lines, on a synthetic voice: the way a user goes."""

import json

import numpy as np
import pytest
import soundfile

import inference_main
import preprocess_flist_config
import preprocess_hubert_f0
import resample
import train
from synthetic_voice import SINGERS, compose, sing, write_dataset


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A folder in which steps 1 to 4 have run, with a few training steps only."""
    folder = tmp_path_factory.mktemp("work space 工作")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        list(write_dataset(folder / "dataset_raw", ["sofia"], 30.0, seed=1))
        assert resample.main([]) == 0
        command = ["--speech_encoder", "mfcc", "--vocoder", "world", "--tiny"]
        assert preprocess_flist_config.main(command) == 0
        assert preprocess_hubert_f0.main([]) == 0
        shorten(folder / "configs/config.json", max_steps=6, eval_interval=3, log_interval=2, batch_size=4)
        assert train.main([]) == 0
    return folder


def shorten(path, **changes):
    values = json.loads(path.read_text())
    values["train"] |= changes
    path.write_text(json.dumps(values))


@pytest.fixture(autouse=True)
def here(workspace, monkeypatch):
    monkeypatch.chdir(workspace)


def test_a_song_is_converted(workspace):
    singer = SINGERS["bruno"]
    song = sing(compose(singer, 4.0, 7), singer, seed=7).audio
    (workspace / "raw").mkdir(exist_ok=True)
    soundfile.write(workspace / "raw/my song.wav", song, 44100)
    command = ["-m", "logs/44k/G_6.pth", "-n", "my song", "-t", "12", "-s", "sofia", "-d", "cpu"]
    assert inference_main.main(command) == 0
    result, rate = soundfile.read(workspace / "results/my song_12key_sofia_glow_pm.flac")
    assert rate == 44100 and len(result) == len(song)
    assert np.isfinite(result).all() and np.abs(result).max() > 0.01
    assert "conversion" in soundfile.SoundFile(workspace / "results/my song_12key_sofia_glow_pm.flac").comment


def test_the_configuration_beside_the_model_knows_the_voice(workspace):
    config = json.loads((workspace / "logs/44k/config.json").read_text())
    low, middle, high = config["f0_range"]["sofia"]
    assert 100 < low < middle < high < 1100
    assert config["spk"] == {"sofia": 0}


def test_training_continues_where_it_was(workspace, capsys):
    shorten(workspace / "configs/config.json", max_steps=8)
    assert train.main([]) == 0
    assert "8 steps" in capsys.readouterr().out
    assert (workspace / "logs/44k/G_8.pth").exists()


def test_a_change_of_settings_is_noticed_before_training(workspace, capsys):
    config = workspace / "configs/config.json"
    before = config.read_text()
    values = json.loads(before)
    values["data"]["mel_fmin"] = 50.0
    config.write_text(json.dumps(values))
    assert train.main(["-m", "other"]) == 2
    message = capsys.readouterr().err
    assert "f min changed from 40.0 to 50.0" in message
    config.write_text(before)
