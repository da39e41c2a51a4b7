import logging
import os

import pytest

from modules.common.errors import AudioError
from modules.dataset.layout import find_clips, printable_path, scan_folder


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
    wrong = ["a/two\nlines.wav", "a/" + os.fsdecode("歌.wav".encode("shift-jis"))]
    touch(tmp_path, *wrong, "b\u2028c/1.wav")
    layout = scan_folder(tmp_path)
    assert {path.relative_to(tmp_path).as_posix(): why for path, why in layout.ignored.items()} == {
        "loose.wav": "loose",
        "film.MP4": "format",
        "a/session 2": "nested",
        "a/song.m4a": "format",
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
