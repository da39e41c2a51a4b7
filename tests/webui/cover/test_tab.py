"""What the Cover tab offers, and what it starts."""

import os

import pytest

from modules.common.errors import ConfigError
from webui.cover.tab import _song, covers
from webui.uploads import uploads_folder


def test_covers_are_listed_newest_first(tmp_path):
    assert covers(tmp_path) == []
    for age, name in enumerate(("new_cover", "old_cover", "song.flac", ".hidden_cover")):
        (tmp_path / "results" / name).mkdir(parents=True)
        os.utime(tmp_path / "results" / name, (1000 - age, 1000 - age))
    assert covers(tmp_path) == ["new_cover", "old_cover"]


def test_a_song_is_an_upload_or_lies_in_raw(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "song.mp3").touch()
    assert _song(tmp_path, None, "song.mp3") == "raw/song.mp3"
    upload = uploads_folder() / "cover-test" / "empty.mp3"
    upload.parent.mkdir(parents=True, exist_ok=True)
    upload.touch()
    for given, message in (
        ((None, None), "choose a song first"),
        ((None, "../../etc/passwd"), "not in the project folder"),
        (("/etc/passwd", None), "choose a song first"),
        ((str(upload), None), "empty"),
    ):
        with pytest.raises(ConfigError, match=message):
            _song(tmp_path, *given)
    upload.unlink()
