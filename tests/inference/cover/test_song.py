"""Songs of every kind, as stereo at one rate; those that cannot be read are one sentence."""

import shutil
import subprocess

import numpy as np
import pytest
import soundfile

from inference.cover.song import SONG, StereoFile, read_song
from modules.common.errors import AudioError
from separation.base import RATE
from tests.inference.cover.songs import sung


def read(path, folder):
    read_song(path, folder, lambda done, total: None)
    return StereoFile(folder / SONG)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_rates_and_channels(tmp_path, rate, channels):
    audio = np.random.default_rng(0).uniform(-0.5, 0.5, (rate + 7, channels))
    soundfile.write(tmp_path / "in.wav", audio, rate, "FLOAT")
    song = read(tmp_path / "in.wav", tmp_path)
    assert len(song) == round(len(audio) * RATE / rate)
    whole = song[:]
    if channels != 2:
        np.testing.assert_array_equal(whole[:, 0], whole[:, 1])
    if rate == RATE and channels <= 2:
        np.testing.assert_array_equal(whole[:, -1], audio[:, -1].astype(np.float32))
    np.testing.assert_array_equal(song[500:700], whole[500:700])
    np.testing.assert_array_equal(np.concatenate(list(song.blocks())), whole)


def test_what_cannot_be_a_song_is_one_sentence(tmp_path):
    cases = {"silent.wav": np.zeros(1000), "nan.wav": np.full(1000, np.nan), "empty.wav": np.zeros(0)}
    for name, audio in cases.items():
        soundfile.write(tmp_path / name, audio, RATE, "FLOAT")
        with pytest.raises(AudioError, match=name):
            read(tmp_path / name, tmp_path)
    with pytest.raises(AudioError, match="does not exist"):
        read(tmp_path / "nowhere.mp3", tmp_path)


def test_a_file_that_libsndfile_does_not_read(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "in.wav", sung(1.5), RATE)
    noise = tmp_path / "noise.m4a"
    noise.write_bytes(np.random.default_rng(0).bytes(5000))
    if ffmpeg := shutil.which("ffmpeg"):
        command = [ffmpeg, "-v", "error", "-i", tmp_path / "in.wav", "-c:a", "aac", tmp_path / "song.m4a"]
        subprocess.run(command, check=True)
        assert abs(len(read(tmp_path / "song.m4a", tmp_path)) - 1.5 * RATE) < 0.1 * RATE
        with pytest.raises(AudioError, match="by ffmpeg either") as caught:
            read(noise, tmp_path)
        assert "\n" not in str(caught.value)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(AudioError, match="install ffmpeg"):
        read(noise, tmp_path)
    assert not (tmp_path / "decoded.wav").exists()
