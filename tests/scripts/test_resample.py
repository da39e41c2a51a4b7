import errno
import json
import os
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

import resample
from modules.dataset.layout import LONGEST_NAME
from modules.dsp.loudness import integrated_loudness, true_peak
from tests.support.golden_cases import voice
from tests.support.memory import memory_grown

FORMATS = {
    "8 bit.wav": (8000, 1, "PCM_U8"),
    "16bit.wav": (22050, 2, "PCM_16"),
    "24bit.wav": (48000, 1, "PCM_24"),
    "float.wav": (96000, 2, "FLOAT"),
    "あの 歌.flac": (44100, 1, "PCM_24"),
    "歌.ogg": (32000, 1, "VORBIS"),
}


@pytest.fixture
def run(script):
    """Run the script in an empty folder; return the outcome."""
    return lambda *args: script(resample.main, "--num_processes", "1", *args)


def put(name, audio, rate=44100, subtype="PCM_16"):
    path = os.path.join("dataset_raw", name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    soundfile.write(path, audio, rate, subtype=subtype)


def read(name):
    audio, rate = soundfile.read(os.path.join("dataset/44k", name), dtype="int16")
    assert rate == 44100 and audio.ndim == 1
    return audio


def report_of():
    return json.loads(Path("dataset/44k/report.json").read_text(encoding="utf-8"))["resample"]


def names():
    return sorted(os.listdir("dataset/44k/a"))


def test_every_format_becomes_mono_16_bit_at_full_scale(run):
    for name, (rate, channels, subtype) in FORMATS.items():
        audio = np.tile(0.3 * voice(0.7, rate)[:, None], (1, channels))
        put(f"a/{name}", audio, rate, subtype)
    done = run()
    assert done.code == 0, done.err
    clips = {name: read(f"a/{name}") for name in names()}
    assert clips.keys() == {f"{name.rpartition('.')[0]}.wav" for name in FORMATS}
    for clip in clips.values():
        # the voice rests between 0.45 and 0.5 of every half second only: nothing is trimmed
        assert len(clip) == pytest.approx(0.7 * 44100, abs=1)
        assert np.abs(clip.astype(int)).max() >= 32767
    assert report_of()["speakers"]["a"]["clips"] == len(FORMATS)
    shutil.rmtree("dataset")
    assert run("--num_processes", "2").code == 0  # two processes write what one writes
    assert clips.keys() == set(names())
    for name, clip in clips.items():
        np.testing.assert_array_equal(read(f"a/{name}"), clip)


def test_a_recording_of_a_telephone_is_made_too(run):
    put("a/call.wav", 0.3 * voice(0.7, 8000), 8000, "GSM610")
    put("a/good.wav", voice(0.4, 44100))
    assert run().code == 0 and names() == ["call.wav", "good.wav"]
    assert len(read("a/call.wav")) == pytest.approx(0.7 * 44100, abs=0.08 * 44100)


@pytest.mark.parametrize(("flags", "limit"), [(["--slice"], 60), (["--loudnorm", "lufs"], 200)], ids=str)
def test_memory_does_not_grow_with_the_recording(run, flags, limit):
    phrase = np.tile(0.3 * voice(10.0, 16000)[:, None], (1, 2)).astype(np.float32)
    Path("short/a").mkdir(parents=True)
    soundfile.write("short/a/warm.wav", phrase[:16000], 16000)
    put("a/warm.wav", phrase[:16000], 16000)
    with soundfile.SoundFile("dataset_raw/a/long.wav", "w", 16000, 2, subtype="PCM_16") as file:
        for _ in range(24):
            file.write(phrase)
    # four minutes as float32 at 44.1 kHz: 42 MB for each copy
    small = ("--in_dir", "short", "--out_dir2", "dataset/short")
    assert memory_grown(lambda: run(*flags), warm_up=lambda: run(*flags, *small)) < limit << 20
    assert run(*flags).out.startswith("2 of 2 recordings are done already")


def test_levels_without_loudnorm(run):
    """Silence is trimmed, other samples stay as they are; what exceeds full scale is scaled, not wrapped."""
    audio = voice(0.4, 44100)
    put("a/fits.wav", audio)
    put("a/padded.wav", np.concatenate([np.zeros(44100), audio, np.zeros(22050)]), subtype="FLOAT")
    put("a/loud.wav", 5 * voice(0.4, 48000), 48000, "FLOAT")
    done = run("--skip_loudnorm", "--loudnorm", "lufs")
    assert done.code == 0 and "--loudnorm has no effect with --skip_loudnorm" in done.log
    np.testing.assert_array_equal(
        read("a/fits.wav"), soundfile.read("dataset_raw/a/fits.wav", dtype="int16")[0]
    )
    clip = read("a/padded.wav")
    assert len(audio) <= len(clip) <= len(audio) + 2 * 2048
    assert np.correlate(clip / 32768, audio, "valid").max() == pytest.approx(np.sum(audio**2), rel=1e-3)
    assert np.abs(read("a/loud.wav").astype(int)).max() == round(0.98 * 32768)


def test_lufs(run):
    put("a/long.wav", 0.1 * voice(1.4, 44100))
    put("a/short.wav", 0.1 * voice(0.3, 44100))
    assert run("--loudnorm", "lufs").code == 0
    for name in ("a/long.wav", "a/short.wav"):
        clip = read(name) / np.float32(32768)
        at_ceiling = true_peak(clip, 44100) == pytest.approx(10 ** (-1 / 20), rel=0.02)
        assert at_ceiling or integrated_loudness(clip, 44100) == pytest.approx(-20, abs=0.3)


def test_bad_files_are_named_and_the_rest_is_done(run, monkeypatch):
    """Unless the disk is full, which is one line and leaves no half file."""
    put("a/good.wav", voice(0.4, 44100))
    put("a/tiny.wav", voice(0.05, 44100))
    put("a/locked.wav", voice(0.3, 44100))
    put("a/nan.wav", np.array([0.1, np.nan, 0.2]), subtype="FLOAT")
    put("a/silent.wav", np.zeros(44100))
    put("a/blip.wav", np.ones(1), 192000)
    Path("dataset_raw/a/empty.wav").touch()
    Path("dataset_raw/a/text.wav").write_text("these are words")
    replace = os.replace

    def refuse(source, destination, code=errno.EACCES):
        if code == errno.ENOSPC or Path(destination).name == "locked.wav":
            raise OSError(code, os.strerror(code), str(destination))
        replace(source, destination)

    monkeypatch.setattr("os.replace", partial(refuse, code=errno.ENOSPC))
    done = run()
    assert done.code == 2 and "no space left" in done.err and not list(Path("dataset").rglob("*.wav"))
    monkeypatch.setattr("os.replace", refuse)
    done = run()
    assert done.code == 0 and names() == ["good.wav", "tiny.wav"]
    for name, reason in {
        "nan": "NaN",
        "silent": "silent",
        "blip": "holds no samples, or too few",
        "empty": "0 bytes",
        "text": "cannot be read",
        "locked": "Permission denied",
    }.items():
        (line,) = [line for line in report_of()["skipped"] if f"{name}.wav" in line]
        assert reason in line and line in done.out


def test_long_names_leave_room_for_those_of_the_features(run):
    title = "夜" * 79  # 237 bytes, and different only beyond what is kept of them
    for name in (f"{title}一.wav", f"{title}二.wav", f"{title}二.flac", "夜.wav"):
        put(f"a/{name}", voice(0.4, 16000), 16000)
    assert run("--slice").code == 0
    assert len(names()) == 4 and names()[0] == "夜_000.wav"
    assert all(name.startswith("夜" * 60) and len(name.encode()) <= LONGEST_NAME for name in names()[1:])
    stamps = times()
    assert "4 of 4 recordings are done already" in run("--slice").out and times() == stamps
    assert run().code == 0 and len(names()) == 4  # other settings: the old clips go, by their shortened names


def test_mistakes_are_one_line(run):
    assert run().is_mistake("<speaker>")
    os.mkdir("dataset_raw")
    assert run().is_mistake("<speaker>")
    put("song.wav", voice(0.2, 8000), 8000)  # not in the folder of a speaker
    assert run().is_mistake("<speaker>") and not os.path.exists("dataset")
    put("a/silent.wav", np.zeros(4410))
    assert run().err.splitlines()[-1].startswith("resample.py: no recording")
    put("a/x.wav", voice(0.5, 22050), 22050)
    before = Path("dataset_raw/a/x.wav").read_bytes()
    assert run("--out_dir2", "./dataset_raw/../dataset_raw").is_mistake("--out_dir2 is --in_dir")
    assert Path("dataset_raw/a/x.wav").read_bytes() == before


def test_equal_names_of_other_formats_do_not_overwrite_each_other(run):
    put("a/x.flac", voice(0.5, 44100))
    run()
    assert len(read("a/x.wav")) == 22050
    put("a/x.wav", voice(0.4, 44100))  # takes its name back
    put("a/x_flac.ogg", voice(0.6, 44100), subtype="VORBIS")
    done = run()
    assert done.code == 0 and "still holds" not in done.out
    lengths = {name: len(read(f"a/{name}")) / 44100 for name in names()}
    assert sorted(round(length, 1) for length in lengths.values()) == [0.4, 0.5, 0.6]
    assert lengths["x.wav"] == pytest.approx(0.4, abs=0.01) and lengths["x_flac.wav"] == 0.5
    os.rename("dataset_raw/a/x_flac.ogg", "dataset_raw/a/z.ogg")  # whose clip is named and stays
    (gone,) = lengths.keys() - {"x.wav", "x_flac.wav"}
    out = run().out
    assert "still holds 1 clips" in out and f"training will use them: a/{gone}. Delete" in out
    assert names() == sorted([*lengths, "z.wav"])


def times():
    return {entry.name: entry.stat().st_mtime_ns for entry in os.scandir("dataset/44k/a")}


def test_a_second_run_makes_only_what_is_missing_or_changed(run):
    for number in range(4):
        put(f"a/{number}.wav", voice(0.3 + number / 100, 44100))
    run()
    first = times()
    out = run().out
    assert "4 of 4 recordings are done already" in out and times() == first
    assert "clips  minutes" in out  # kept clips are in the report

    put("a/1.wav", voice(0.5, 44100))
    os.remove("dataset/44k/a/2.wav")
    with open("dataset/44k/a/3.wav", "r+b") as file:
        file.truncate(100)
    with open("dataset/44k/.resample.jsonl", "a") as file:
        file.write('{"source": "a/0.wav", "by')  # a kill in the middle of a line
    assert "1 of 4 recordings are done already" in run().out
    assert {name for name, time in times().items() if time != first[name]} == {"1.wav", "2.wav", "3.wav"}

    assert "done already" not in run("--loudnorm", "lufs").out
    assert not set(times().values()) & set(first.values())


def test_a_journal_from_elsewhere_removes_nothing_and_nonsense_in_it_is_passed_over(run, tmp_path):
    put("a/1.wav", voice(0.3, 44100))
    run()
    for place in (tmp_path, tmp_path / "dataset", tmp_path / "dataset/44k"):
        (place / "precious.wav").write_bytes(b"mine")
    journal = Path("dataset/44k/.resample.jsonl")
    entry = json.loads(journal.read_text())
    (facts,) = entry["clips"].values()
    for number, road in enumerate(("../", "../../", "a/../../../", f"{tmp_path}/", "")):
        clips = entry["clips"] | {f"{road}precious.wav": {**facts, "bytes": 4}}
        journal.write_text(json.dumps({**entry, "clips": clips}) + "\n")
        # other settings: what the journal names is removed
        assert run("--loudnorm", ("lufs", "peak")[number % 2]).code == 0
        assert len(list(tmp_path.rglob("precious.wav"))) == 3 and names() == ["1.wav"]
    changes = [("clips", []), ("clips", {"a/1.wav": {}}), ("clips", {"a/1.wav": 3}), ("source", 7), ("x", 1)]
    for key, value in changes:
        journal.write_text(json.dumps({**entry, key: value}) + "\nnull\n\xff\n")
        done = run()
        assert done.code == 0 and "done already" not in done.out


def test_slices(run):
    phrase = voice(6.9, 16000)  # rests at 1.5 to 2 s, 3.5 to 4 s and 5.5 to 6 s
    song = np.concatenate([phrase, np.zeros(8000), phrase, np.zeros(48000), phrase])
    put("a/song.wav", song, 16000)
    put("a/hum.wav", 0.5 * np.sin(np.arange(40 * 8000) / 6), 8000)  # no silence anywhere
    put("a/short.wav", voice(3.0, 16000), 16000)
    assert run("--slice").code == 0
    lengths = {name: len(read(f"a/{name}")) / 44100 for name in names()}
    assert max(lengths.values()) <= 15.0
    assert lengths["short_000.wav"] == pytest.approx(3.0, abs=0.1)
    hum = [length for name, length in lengths.items() if name.startswith("hum")]
    assert sum(hum) == pytest.approx(40, abs=0.01) and min(hum) >= 4.9
    sung = [length for name, length in lengths.items() if name.startswith("song")]
    assert len(sung) > 1 and 3 * 4.5 <= sum(sung) < len(song) / 16000 - 2

    assert run().code == 0  # other settings: the slices make room for whole recordings
    assert names() == ["hum.wav", "short.wav", "song.wav"]


BELOW_HEARING = {
    "offset": lambda t: 0.1 + 0 * t,
    "8 Hz": lambda t: 0.1 * np.sin(2 * np.pi * 8 * t),
    "20 Hz": lambda t: 0.05 * np.sin(2 * np.pi * 20 * t),
}


@pytest.mark.parametrize("below", BELOW_HEARING)
def test_what_is_not_heard_does_not_defeat_trimming_and_slicing(run, below):
    phrase = voice(6.4, 16000)  # rests at 1.5 to 2 s, 3.5 to 4 s and 5.5 to 6 s
    song = np.concatenate([phrase, np.zeros(8000), phrase, np.zeros(48000), phrase])
    phrase = np.concatenate([np.zeros(16000), voice(1.4, 16000), np.zeros(16000)])
    for name, audio in (("song", song), ("phrase", phrase)):
        put(f"clean/{name}.wav", audio, 16000, "FLOAT")
        put(f"a/{name}.wav", audio + BELOW_HEARING[below](np.arange(len(audio)) / 16000), 16000, "FLOAT")
    assert run("--slice").code == 0
    assert names() == sorted(os.listdir("dataset/44k/clean"))
    seconds = [[len(read(f"{speaker}/{name}")) / 44100 for name in names()] for speaker in ("a", "clean")]
    np.testing.assert_allclose(seconds[0], seconds[1], atol=0.6)  # a cut may fall elsewhere in the same rest
    assert seconds[0][0] == pytest.approx(1.4, abs=0.15)
    if below == "offset":  # 0.6 % of full scale
        assert all(abs(read(f"a/{name}").mean()) < 200 for name in names())


def test_offset_alone_is_silence_and_a_soft_recording_is_not(run):
    put("a/offset.wav", np.full(44100, 0.02))
    put("a/soft.wav", 10 ** (-65 / 20) / 0.3 * voice(1.4, 44100), subtype="PCM_24")
    done = run()
    assert done.code == 0 and names() == ["soft.wav"] and "offset.wav is silent" in done.out
    assert np.abs(read("a/soft.wav").astype(int)).max() >= 32767


def test_one_of_channels_that_cancel_is_taken(run):
    audio = 0.3 * voice(1.4, 44100)
    put("a/plain.wav", audio, subtype="FLOAT")
    put("a/wide.wav", np.stack([-audio, audio], 1), subtype="FLOAT")
    assert run().code == 0
    mirrored, plain = read("a/wide.wav").astype(int), read("a/plain.wav").astype(int)
    np.testing.assert_allclose(mirrored, -plain, atol=1)  # there is no 32768


def test_a_click_does_not_make_the_voice_silent(run):
    """Slicing is relative to the voice, not to the highest sample."""
    song = np.concatenate(
        [voice(6.4, 16000), np.zeros(8000), voice(6.4, 16000), np.zeros(8000), voice(6.4, 16000)]
    )
    put("plain/song.wav", 0.02 * song, 16000, "FLOAT")
    song[50000] = 50.0
    put("a/song.wav", 0.02 * song, 16000, "FLOAT")
    assert run("--slice", "--skip_loudnorm").code == 0
    seconds = [
        sum(len(read(f"{speaker}/{name}")) for name in os.listdir(f"dataset/44k/{speaker}")) / 44100
        for speaker in ("plain", "a")
    ]
    assert seconds[1] > 0.95 * seconds[0]
