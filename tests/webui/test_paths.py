import os
import re
import stat
import tempfile
from pathlib import Path

import pytest

from inference.options import ConvertOptions
from modules.common.errors import ConfigError
from webui.paths import find_models, inside, plain_name, served_path
from webui.uploads import check_paths, clean_stem, make_uploads_private, unique_names, uploads_folder


@pytest.fixture
def linked(tmp_path):
    """A project whose owner keeps logs, a speaker and a model on another disk, beside private files."""
    root, data = tmp_path / "project", tmp_path / "data"
    for name in ("logs/44k/G_1.pth", "anna/1.wav", "G_0.pth", "secret/key.pth"):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text(name)
    for folder in ("dataset_raw", "trained", "uploads"):
        (root / folder).mkdir(parents=True)
    (root / "logs").symlink_to(data / "logs")
    (root / "dataset_raw/anna").symlink_to(data / "anna")
    (root / "trained/G_0.pth").symlink_to(data / "G_0.pth")
    (data / "logs/44k/G_9.pth").symlink_to(data / "secret/key.pth")
    for link in ("secret", "uploads/secret"):
        (root / link).symlink_to(data / "secret")
    return root


def test_paths_in_the_project_and_links_of_its_owner_are_followed(linked, tmp_path):
    for path in ("logs/44k/G_1.pth", "./logs/44k/G_1.pth", "logs/../logs/44k/G_1.pth"):
        for given in (path, tmp_path / path):
            assert inside(tmp_path, given).as_posix() == "logs/44k/G_1.pth"
    behind_links = ("logs/44k/G_1.pth", "logs/new/G_1.pth", "dataset_raw/anna/1.wav", "trained/G_0.pth")
    for path in (*behind_links, "./logs"):
        for given in (path, linked / path):
            assert inside(linked, given) == Path(path)


def test_other_paths_are_refused(linked):
    for path in (
        "..",
        "/etc/passwd",
        "logs/../../x",
        "x" * 5000,
        "~/x/../../..",
        "logs/44k/../../secret/key.pth",
        "logs/../secret/key.pth",
        "dataset_raw/anna/../secret/key.pth",
        "../data/logs/44k/G_1.pth",
        linked.parent / "data/logs/44k/G_1.pth",
        "logs/44k/G_9.pth",  # a link behind the link
        "secret/key.pth",  # not a folder of models or recordings
        "uploads/secret/key.pth",
    ):
        with pytest.raises(ConfigError, match="is not in the project folder"):
            inside(linked, path)
    for path in ("a\x00b", "/tmp/a\x00b", "a\x1b[31mb", "a\nb", "a\ud800b"):
        with pytest.raises(ConfigError, match=re.escape(repr(path)) + ".*contains control characters"):
            inside(linked, path)
        with pytest.raises(ConfigError, match="contains control characters"):
            check_paths(linked, ConvertOptions(config_path=path))
    for path in ("", None, "  "):
        with pytest.raises(ConfigError, match="choose a folder first"):
            inside(linked, path, "a folder")


def test_a_page_gets_a_copy_of_a_linked_file(linked, monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    copy = Path(served_path(linked, linked / "logs/44k/G_1.pth"))
    assert copy.is_relative_to(tmp_path / "gradio") and copy.name == "G_1.pth"
    assert copy.read_text() == "logs/44k/G_1.pth"
    (linked / "own.pth").touch()
    assert served_path(linked, linked / "own.pth") == str(linked / "own.pth")


def test_names_are_plain_or_cleaned():
    assert plain_name("a\n") == "a"
    for name in ("", None, ".", "..", "a/b", "a\\b", "a:b", ".hidden", "x" * 201, "a\x1bb", "a\ud800"):
        with pytest.raises(ConfigError, match="the run must be the plain name"):
            plain_name(name, "the run")
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


def test_models_are_found_in_their_folders_and_options_may_also_name_uploads(tmp_path):
    models = [
        "demo/anna/logs/44k/G_best.pth",
        "logs/44k/G_5.pth",
        "logs/44k/diffusion/model_5.pt",
        "output.pth",
        "trained/a b/音.pth",
    ]
    for name in (*models, "logs/44k/D_5.pth", "demo/anna/dataset/44k/anna/model_1.pt", "dataset/x.pth"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert sorted(find_models(tmp_path)) == models
    upload = uploads_folder() / "abc" / "y.pth"
    for given, kept in ((tmp_path / "trained/x.pth", "trained/x.pth"), (upload, str(upload))):
        assert check_paths(tmp_path, ConvertOptions(model_path=str(given))).model_path == kept
    with pytest.raises(ConfigError, match="not in the project folder"):
        check_paths(tmp_path, ConvertOptions(model_path=str(upload / ".." / ".." / ".." / "x")))


def test_listed_models_can_be_chosen(linked, monkeypatch):
    found = find_models(linked)
    assert sorted(found) == ["logs/44k/G_1.pth", "trained/G_0.pth"]
    assert all(inside(linked, name) for name in found)
    is_file = Path.is_file

    def deleted_afterwards(path):
        found = is_file(path)
        if path.name == "G_1.pth":
            path.unlink()
        return found

    monkeypatch.setattr(Path, "is_file", deleted_afterwards)
    assert find_models(linked) == ["trained/G_0.pth"]


@pytest.mark.skipif(os.name != "posix", reason="other systems have a folder for each user")
def test_uploads_are_private_and_no_folder_of_somebody_else(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    make_uploads_private()
    folder = uploads_folder()
    assert folder.parent == tmp_path and stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.rmdir()
    folder.symlink_to(tmp_path)  # as another user can who was there first
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    with pytest.raises(ConfigError, match="GRADIO_TEMP_DIR"):
        make_uploads_private()
