"""All numbered steps through their command lines, on a synthetic voice: the way a user goes."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

import inference_main
import preprocess_flist_config
import preprocess_hubert_f0
import resample
import train
from synthetic_voice import SINGERS, compose, sing, write_dataset


def change(section="train", **values):
    path = Path("configs/config.json")
    config = json.loads(path.read_text())
    config[section] |= values
    path.write_text(json.dumps(config))


@pytest.fixture(scope="module", autouse=True)
def workspace(tmp_path_factory):
    """The folder of the tests, in which steps 1 to 4 have run, with a few training steps only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("work space 工作"))
        list(write_dataset(Path("dataset_raw"), ["sofia"], 20.0, seed=1))
        assert resample.main([]) == 0
        command = ["--speech_encoder", "mfcc", "--vocoder", "world", "--tiny"]
        assert preprocess_flist_config.main(command) == 0
        assert preprocess_hubert_f0.main([]) == 0
        change(max_steps=6, eval_interval=3, log_interval=2, batch_size=4)
        assert train.main([]) == 0
        yield


def test_a_song_is_converted():
    singer = SINGERS["bruno"]
    song = sing(compose(singer, 4.0, 7), singer, seed=7).audio
    Path("raw").mkdir()
    soundfile.write("raw/my song.wav", song, 44100)
    command = ["-m", "logs/44k/G_6.pth", "-n", "my song", "-t", "12", "-s", "sofia", "-d", "cpu"]
    assert inference_main.main(command) == 0
    with soundfile.SoundFile("results/my song_12key_sofia_glow_swift-f0.flac") as result:
        assert result.samplerate == 44100 and result.frames == len(song) and "conversion" in result.comment
        audio = result.read()
    assert np.isfinite(audio).all() and np.abs(audio).max() > 0.01
    config = json.loads(Path("logs/44k/config.json").read_text())
    low, middle, high = config["f0_range"]["sofia"]
    assert 100 < low < middle < high < 1100 and config["spk"] == {"sofia": 0}


def test_training_continues_where_it_was_and_notices_a_change_of_settings(capsys):
    change(max_steps=8)
    assert train.main([]) == 0
    assert "8 steps" in capsys.readouterr().out and Path("logs/44k/G_8.pth").exists()
    change("data", mel_fmin=50.0)
    assert train.main(["-m", "other"]) == 2
    assert "f min changed from 40.0 to 50.0" in capsys.readouterr().err
