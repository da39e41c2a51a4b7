import json
import logging
import os

import numpy as np
import pytest

from modules.common.errors import AudioError
from modules.dataset.f0_survey import F0Survey
from modules.dataset.layout import find_clips, printable_path, scan_folder
from modules.dataset.report import as_text, is_clipped, measure, save_report, summarize
from tests.support.golden_cases import voice


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_speakers_and_clips_are_sorted_and_other_files_do_not_count(tmp_path):
    touch(tmp_path, "b/2.wav", "b/10.flac", "歌手/あ　い👩\u200d🎤.WAV")
    touch(tmp_path, "b/notes.txt", "b/.hidden.wav", "b/folder.wav/text", "empty/readme.md", ".hidden/1.wav")
    found = find_clips(tmp_path)
    assert {name: [path.name for path in files] for name, files in found.items()} == {
        "b": ["10.flac", "2.wav"],
        "歌手": ["あ　い👩\u200d🎤.WAV"],
    }


def test_what_is_ignored_is_named(tmp_path, caplog):
    touch(tmp_path, "a/1.wav", "a/session 2/take/1.wav", "a/song.m4a", "loose.wav", "film.MP4", "a/._2.m4a")
    others = ["b/call.amr", "b/phone.3gp", "b/disc.DSF", "b/old.wma"]
    touch(tmp_path, *others)
    wrong = ["a/two\nlines.wav", "a/" + os.fsdecode("歌.wav".encode("shift-jis"))]
    touch(tmp_path, *wrong, "b\u2028c/1.wav")
    layout = scan_folder(tmp_path)
    assert {path.relative_to(tmp_path).as_posix(): why for path, why in layout.ignored.items()} == {
        "loose.wav": "loose",
        "film.MP4": "format",
        "a/session 2": "nested",
        "a/song.m4a": "format",
        **dict.fromkeys(others, "format"),
        **dict.fromkeys([*wrong, "b\u2028c"], "name"),
    }
    assert layout.clips == {"a": [tmp_path / "a/1.wav"]}
    with caplog.at_level(logging.WARNING):
        assert find_clips(tmp_path) == layout.clips
    for path in layout.ignored:
        assert f"ignored: {printable_path(path)}; " in caplog.text
    caplog.text.encode()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["song.wav"], r"move them into a folder named after the speaker: .*<speaker>/song.wav"),
        (["a/readme.txt"], "holds no recordings; put them into .*<speaker>/$"),
        (["1.m4a"], r"holds no recordings; .*; .*1\.m4a is ignored: .* convert it to wav"),
        ([], "there is no folder"),
    ],
)
def test_a_folder_that_is_laid_out_otherwise_is_explained(tmp_path, names, message):
    touch(tmp_path / "raw", *names) if names else None
    with pytest.raises(AudioError, match=message):
        find_clips(tmp_path / "raw")


def test_what_is_measured_becomes_json_and_a_table():
    facts = measure(voice(1.0, 44100), 44100)
    assert facts["seconds"] == 1.0 and -30 < facts["lufs"] < -5 and not facts["clipped"]
    assert measure(np.zeros(44100, np.float32), 44100)["lufs"] is None
    assert is_clipped(np.clip(5 * voice(1.0, 44100), -1, 1)) and not is_clipped(np.zeros(0, np.float32))
    clips: dict[str, list[dict]] = {
        "a": [{"seconds": 60.0 * k, "lufs": -20.0 - k, "clipped": k == 3} for k in (1, 2, 3)],
        "歌手": [{"seconds": 1.0, "lufs": None, "clipped": False}],
        "empty": [],
    }
    f0 = {name: F0Survey() for name in clips}
    f0["a"].add(np.array([100.0, 200.0, 300.0, 999.0]), np.array([1, 1, 1, 0]))
    report = summarize(clips, ["b.wav is empty"], f0)
    assert json.loads(json.dumps(report)) == report
    assert report["speakers"]["a"] == {
        "clips": 3,
        "minutes": 6.0,
        "seconds": [60.0, 120.0, 180.0],
        "lufs": -22.0,
        "clipped": 1,
        "f0": [110.0, 200.0, 290.0],
        "voiced": 0.75,
    }
    head, first, second, *rest = as_text(report).splitlines()
    assert "110 / 200 / 290" in first and "75%" in first
    assert first.endswith("  a") and second.endswith("  歌手") and "empty" not in report["speakers"]
    assert rest == ["left out: 1", "  b.wav is empty"]


def test_each_step_keeps_the_parts_of_the_others(tmp_path):
    save_report(tmp_path, "resample", {"n": 1})
    save_report(tmp_path, "features", {"n": 2})
    path = save_report(tmp_path, "resample", {"n": 3})
    assert json.loads(path.read_text()) == {"resample": {"n": 3}, "features": {"n": 2}}
    path.write_text("[broken")
    assert json.loads(save_report(tmp_path, "features", {}).read_text()) == {"features": {}}
