import pytest

from inference.options import ConvertOptions
from modules.common.errors import ConfigError
from webui.uploads import check_paths, clean_stem, unique_names, uploads_folder


def test_names_are_cleaned():
    for name, stem in {
        "song.wav": "song",
        "../../etc/passwd": "passwd",
        "..\\..\\evil.wav": "evil",
        ".hidden.wav": "hidden",
        "歌 曲.flac": "歌 曲",
        "a<b>|c*.wav": "a_b__c_",
        "...": "song",
        "": "song",
        "x" * 500 + ".wav": "x" * 100,
        "歌" * 100 + ".wav": "歌" * 33,
        "a\x00b\n.wav": "a_b_",
    }.items():
        assert clean_stem(name) == stem
    assert unique_names(["a", "A", "b", "a"]) == ["a", "A (2)", "b", "a (3)"]


def test_paths_stay_in_the_project_or_the_uploads(tmp_path):
    inner = tmp_path / "trained" / "x.pth"
    upload = uploads_folder() / "abc" / "y.pth"
    assert check_paths(tmp_path, ConvertOptions(model_path=str(inner))).model_path == "trained/x.pth"
    assert check_paths(tmp_path, ConvertOptions(model_path=str(upload))).model_path == str(upload.resolve())
    (tmp_path / "link.pth").symlink_to("/etc/hostname")
    for path in ("/etc/passwd", "../x.pth", str(upload / ".." / ".." / ".." / "x"), "link.pth"):
        with pytest.raises(ConfigError, match="not in the project folder"):
            check_paths(tmp_path, ConvertOptions(model_path=path))
