"""A song's pitch as a file: what is written comes back, other programs' files are read, bad ones named."""

import numpy as np
import pytest

from inference.options import ConvertOptions
from inference.pitch.files import read_f0, write_f0
from inference.pitch.paths import pitch_files
from modules.common.errors import ConfigError

RATE = 44100 / 512


def test_a_written_curve_comes_back_to_the_last_digit(tmp_path):
    f0 = np.random.default_rng(0).uniform(60, 900, 200).astype(np.float32)
    f0[40:60] = 0
    write_f0(tmp_path / "a.csv", f0, RATE)
    np.testing.assert_array_equal(read_f0(tmp_path / "a.csv", 200, RATE), f0)
    assert (tmp_path / "a.csv").read_text().splitlines()[:2] == ["time,f0,voiced", f"0.000000,{f0[0]:.9g},1"]


def test_files_of_other_programs_are_read_and_gaps_are_left_open(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("﻿# by hand\nTime [s]; Frequency\n0.5; 220\n0.51;\t220\n\n0.52 440\n0.6;0\n", "utf-8")
    f0 = read_f0(path, 100, 100.0)
    assert np.isnan(f0[:45]).all() and np.isnan(f0[66:]).all()
    assert f0[50] == f0[51] == 220 and f0[52] == 440 and f0[60] == 0
    path.write_text("time,frequency,confidence\n0,220,0.9\n0.01,220,0.2\n")  # as CREPE writes
    assert read_f0(path, 2, 100.0).tolist() == [220, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no pitch"),
        ("time,f0\n", "holds no pitch"),
        ("0,220,1\n0.1,x,1\n", "line 2: '0.1,x,1' is not: time in s"),
        ("0,220\n0.1,9000\n", "line 2"),
        ("0,220\nnan,220\n", "line 2"),
        ("0,220\n0.1,-5\n", "line 2"),
        ("0,220\n0.1\n", "line 2"),
        ("0.2,220\n0.1,220\n", "times must ascend, but 0.1 s follows 0.2 s"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(tmp_path, text, message):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as error:
        read_f0(path, 10, RATE)
    assert "\n" not in str(error.value)


def test_files_that_are_no_text(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not text"):
        read_f0(tmp_path / "a.csv", 10, RATE)
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_f0(tmp_path / "b.csv", 10, RATE)


def test_several_songs_take_their_files_from_a_folder(tmp_path):
    songs = [tmp_path / "one.wav", tmp_path / "two.wav"]
    (tmp_path / "one.f0.csv").write_text("0,220\n")
    (tmp_path / "two.f0.csv").write_text("0,220\n")
    found = pitch_files(ConvertOptions(f0_file=str(tmp_path), write_midi=f"{tmp_path}/new/"), songs)
    assert found[songs[1]].f0 == tmp_path / "two.f0.csv"
    assert found[songs[0]].write_midi == tmp_path / "new" / "one.mid" and found[songs[0]].midi is None
    one = ConvertOptions(f0_file=str(tmp_path / "one.f0.csv"))
    assert pitch_files(one, songs[:1])[songs[0]].f0 == tmp_path / "one.f0.csv"
    for options, message in (
        (one, "--f0: .*one.f0.csv is one file for several songs; name a folder"),
        (ConvertOptions(write_f0="all.csv"), "--write_f0: all.csv is one file"),
        (ConvertOptions(midi=str(tmp_path)), "--midi: there is no file .*one.mid"),
    ):
        with pytest.raises(ConfigError, match=message):
            pitch_files(options, songs)
    same = [tmp_path / "one.wav", tmp_path / "b" / "one.wav"]
    with pytest.raises(ConfigError, match="two songs of one name"):
        pitch_files(ConvertOptions(write_f0=f"{tmp_path}/"), same)
