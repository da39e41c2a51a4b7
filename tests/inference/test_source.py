"""Reading a song: any format and rate, exact lengths, nothing held, nothing left behind."""

import unicodedata

import numpy as np
import pytest

from inference.source import SourceAudio, find_songs
from modules.common.errors import AudioError, ConfigError
from modules.dsp.audio import resample, resampled_length
from modules.dsp.slicer import measure
from tests.inference.tiny import RATE
from tests.inference.tiny import write_song as write
from tests.support.golden_cases import voice


@pytest.mark.parametrize("rate", [8000, 44100, 96000])
def test_any_rate_in_blocks_is_the_whole_resampled(tmp_path, rate):
    for n in (2, 777, 65536, 150001):
        audio = np.random.default_rng(0).uniform(-0.5, 0.5, n).astype(np.float32)
        path = write(tmp_path / "song.wav", audio, rate, subtype="FLOAT")
        with SourceAudio(path, RATE, tmp_path) as source:
            assert source.n_samples == resampled_length(n, rate, RATE)
            found = source.read(0, source.n_samples)
            np.testing.assert_allclose(found, resample(audio, rate, RATE), atol=1e-6)
            np.testing.assert_allclose(source.rms, measure(found, RATE))


def test_formats(tmp_path):
    audio = voice(0.5, RATE)
    for name, subtype, step in (
        ("8 bit.wav", "PCM_U8", 1 / 128),
        ("16.wav", "PCM_16", 1 / 32768),
        ("24.wav", "PCM_24", 1e-6),
        ("32.wav", "FLOAT", 1e-7),
        ("64.wav", "DOUBLE", 1e-7),
        ("夜に駆ける.flac", None, 1 / 32768),
        ("a song.ogg", None, 0.2),  # lossy: the same song at the same place
        ("a song.mp3", None, 0.2),
    ):
        with SourceAudio(write(tmp_path / name, audio, subtype=subtype), RATE, tmp_path) as source:
            assert source.n_samples == len(audio)
            np.testing.assert_allclose(source.read(0, len(audio)), audio, atol=step, err_msg=name)


def test_channels_are_averaged_and_beyond_the_ends_are_zeros(tmp_path):
    left, right = voice(0.2, RATE), voice(0.2, RATE, 300.0)
    path = write(tmp_path / "stereo.wav", np.stack([left, right], 1), subtype="FLOAT")
    with SourceAudio(path, RATE, tmp_path) as source:
        np.testing.assert_allclose(source.read(0, len(left)), (left + right) / 2, atol=1e-6)
    audio = np.arange(1, 11, dtype=np.float32) / 16
    with SourceAudio(write(tmp_path / "x.wav", audio, subtype="FLOAT"), RATE, tmp_path) as source:
        np.testing.assert_array_equal(source.read(-3, 13), np.pad(audio, 3))
        np.testing.assert_array_equal(source.read(4, 6), audio[4:6])
        assert not source.read(20, 30).any()
        assert not source.read(-30, -20).any()


@pytest.mark.parametrize("channels", [(1.0, -1.0), (0.9, -1.0), (1.0, -1.0, 0.0)])
def test_of_channels_that_cancel_one_is_taken(tmp_path, caplog, channels):
    audio = voice(1.4, RATE)
    path = write(tmp_path / "x.wav", np.stack([gain * audio for gain in channels], 1), subtype="FLOAT")
    with SourceAudio(path, RATE, tmp_path) as source:
        found = source.read(0, source.n_samples)
    (taken,) = [gain for gain in channels if np.allclose(found, gain * audio, atol=1e-6)]
    assert abs(taken) == 1.0
    assert f"its channels cancel; channel {channels.index(taken) + 1} alone is used" in caplog.text


def test_channels_that_do_not_cancel_are_averaged_as_before(tmp_path, caplog):
    for gains in ((1.0, -0.5), (1.0, 0.0), (1.0,) + (0.0,) * 60):
        audio = np.stack([gain * voice(0.5, RATE) for gain in gains], 1)
        with SourceAudio(write(tmp_path / "x.wav", audio, subtype="FLOAT"), RATE, tmp_path) as source:
            np.testing.assert_array_equal(
                source.read(0, len(audio)), audio.astype(np.float32).mean(1, dtype=np.float32)
            )
    assert not caplog.records


def test_an_offset_is_removed_and_digital_silence_stays(tmp_path):
    audio = np.concatenate([voice(1.4, RATE), np.zeros(RATE, np.float32), voice(1.4, RATE)])
    constant, muted = audio + np.float32(0.05), np.where(audio == 0, audio, audio + np.float32(0.05))
    for shifted in (constant, muted):
        with SourceAudio(write(tmp_path / "x.wav", shifted, subtype="FLOAT"), RATE, tmp_path) as source:
            found = source.read(0, len(audio))
            np.testing.assert_allclose(found, audio, atol=3e-3)
    assert not found[round(1.4 * RATE) : round(2.4 * RATE)].any()


def test_unreadable_songs_are_refused_by_name(tmp_path):
    (tmp_path / "text.wav").write_text("not a sound at all")
    (tmp_path / "none.wav").touch()
    write(tmp_path / "headless.wav", np.zeros(0))
    write(tmp_path / "blip.wav", np.ones(1), 192000, subtype="FLOAT")
    cut = write(tmp_path / "cut.flac", voice(3, RATE))
    cut.write_bytes(cut.read_bytes()[:20000])
    for value in (np.nan, np.inf):
        broken = np.repeat([0, value], [2 * RATE, 1])
        write(tmp_path / f"{value}.wav", broken, subtype="FLOAT")
    for name, message in {
        "text.wav": "cannot be read as sound",
        "none.wav": "0 bytes",
        "headless.wav": "holds no samples",
        "missing.wav": "does not exist",
        "blip.wav": "holds no samples, or too few",
        "cut.flac": "",
        "nan.wav": r" holds NaN or infinite samples, first at 2\.00 s",
        "inf.wav": r" holds NaN or infinite samples, first at 2\.00 s",
    }.items():
        with pytest.raises(AudioError, match=f"{name}.*{message}"):
            SourceAudio(tmp_path / name, RATE, tmp_path)


def test_scratch_file_goes_in_every_case(tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    path = write(tmp_path / "x.wav", voice(0.2, RATE))
    with pytest.raises(KeyboardInterrupt), SourceAudio(path, RATE, scratch):
        raise KeyboardInterrupt
    write(path, np.full(1000, np.nan), subtype="FLOAT")
    with pytest.raises(AudioError):
        SourceAudio(path, RATE, scratch)
    assert not list(scratch.iterdir())


def test_songs_are_found_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "raw"
    folder.mkdir()
    decomposed = unicodedata.normalize("NFD", "é.wav")  # as an archive made on a Mac holds it
    for name in [
        decomposed,
        "one.wav",
        "two.wav",
        "two.flac",
        "v1.5.MP3",
        "夜 に.ogg",
        "notes.txt",
        "odd.m4a",
    ]:
        (folder / name).touch()
    (tmp_path / "here.wav").touch()
    for name, found in {
        "one": "one.wav",
        "one.wav": "one.wav",
        "two.flac": "two.flac",
        "v1.5": "v1.5.MP3",
        "夜 に": "夜 に.ogg",
        "é": decomposed,
        "é.wav": decomposed,
        "odd.m4a": "odd.m4a",
        "raw/one": "one.wav",
        "./raw/one.wav": "one.wav",
        "here": "../here.wav",
        "raw/../here": "../here.wav",
    }.items():
        (path,) = find_songs([name])
        assert path.samefile(folder / found)
        assert find_songs([str((folder / found).resolve())]) == [(folder / found).resolve()]
    for names, error, message in (
        (["one", "three"], AudioError, "no song 'three' in raw/"),
        (["two"], AudioError, r"'two' could be any of .*two\.flac, .*two\.wav"),
        (["notes"], AudioError, "no song 'notes'"),
        ([], ConfigError, r"-n; raw/ holds: .*one\.wav, two\.flac"),
    ):
        with pytest.raises(error, match=message):
            find_songs(names)
