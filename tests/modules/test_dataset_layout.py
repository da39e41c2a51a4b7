import logging
import os

import pytest

from modules.dataset_layout import find_clips
from modules.errors import AudioError


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_speakers_and_clips_are_sorted_and_other_files_do_not_count(tmp_path):
    touch(tmp_path, "b/2.wav", "b/10.flac", "歌手/あ　い👩\u200d🎤.WAV")
    touch(tmp_path, "b/notes.txt", "empty/readme.md", ".hidden/1.wav")
    found = find_clips(tmp_path)
    assert {name: [path.name for path in files] for name, files in found.items()} == {
        "b": ["10.flac", "2.wav"],
        "歌手": ["あ　い👩\u200d🎤.WAV"],
    }


def test_what_is_passed_over_is_named(tmp_path, caplog):
    touch(tmp_path, "a/1.wav", "a/session 2/take/1.wav", "a/song.m4a", "loose.wav")
    with caplog.at_level(logging.WARNING):
        assert [path.name for path in find_clips(tmp_path)["a"]] == ["1.wav"]
    for name in ("session 2", "song.m4a", "1 recordings directly"):
        assert name in caplog.text


def test_names_that_are_no_text_are_passed_over(tmp_path, caplog):
    touch(tmp_path, "a/1.wav", "a/two\nlines.wav", "a/" + os.fsdecode("歌.wav".encode("shift-jis")))
    with caplog.at_level(logging.WARNING):
        assert [path.name for path in find_clips(tmp_path)["a"]] == ["1.wav"]
    assert caplog.text.count("rename it") == 2


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["song.wav"], r"move them into a folder named after their singer: .*<speaker>/song.wav"),
        (["a/readme.txt"], "holds no recordings"),
        ([], "there is no folder"),
    ],
)
def test_a_folder_that_is_laid_out_otherwise_is_explained(tmp_path, names, message):
    touch(tmp_path / "raw", *names) if names else None
    with pytest.raises(AudioError, match=message):
        find_clips(tmp_path / "raw")
