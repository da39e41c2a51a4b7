from pathlib import Path

import pytest

from modules.common.errors import ConfigError
from webui.places import find_models, inside, plain_name, served


@pytest.mark.parametrize("path", ["logs/44k/G_1.pth", "./logs/44k/G_1.pth", "logs/../logs/44k/G_1.pth"])
def test_what_is_in_the_project_is_seen_from_there(tmp_path, path):
    assert inside(tmp_path, path).as_posix() == "logs/44k/G_1.pth"
    assert inside(tmp_path, str(tmp_path / path)).as_posix() == "logs/44k/G_1.pth"


@pytest.mark.parametrize("path", ["..", "/etc/passwd", "logs/../../x", "a\x00b", "x" * 5000, "~/x/../../.."])
def test_what_leads_out_is_refused(tmp_path, path):
    with pytest.raises(ConfigError, match="is not in the project folder"):
        inside(tmp_path, path)


@pytest.fixture
def linked(tmp_path):
    """A project whose owner keeps logs, a speaker and a model elsewhere, beside what is nobody's business."""
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


@pytest.mark.parametrize(
    "path", ["logs/44k/G_1.pth", "logs/new/G_1.pth", "dataset_raw/anna/1.wav", "trained/G_0.pth", "./logs"]
)
def test_links_of_the_project_s_owner_lead_on(linked, path):
    assert inside(linked, path) == Path(path)
    assert inside(linked, linked / path) == Path(path)


@pytest.mark.parametrize(
    "path",
    [
        "logs/44k/../../secret/key.pth",
        "logs/../secret/key.pth",
        "dataset_raw/anna/../secret/key.pth",
        "../data/logs/44k/G_1.pth",
        "logs/44k/G_9.pth",  # a link behind the link
        "secret/key.pth",  # no room of the project
        "uploads/secret/key.pth",
    ],
)
def test_other_links_do_not(linked, path):
    with pytest.raises(ConfigError, match="is not in the project folder"):
        inside(linked, path)
    with pytest.raises(ConfigError, match="is not in the project folder"):
        inside(linked, linked.parent / "data/logs/44k/G_1.pth")


def test_what_is_listed_can_be_chosen(linked):
    found = find_models(linked)
    assert sorted(found) == ["logs/44k/G_1.pth", "trained/G_0.pth"]
    assert all(inside(linked, name) for name in found)


def test_a_page_gets_a_copy_of_what_lies_behind_a_link(linked, monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    copy = Path(served(linked, linked / "logs/44k/G_1.pth"))
    assert copy.is_relative_to(tmp_path / "gradio") and copy.name == "G_1.pth"
    assert copy.read_text() == "logs/44k/G_1.pth"
    (linked / "own.pth").touch()
    assert served(linked, linked / "own.pth") == str(linked / "own.pth")


def test_a_model_that_is_gone_before_it_is_looked_at_is_not_listed(linked, monkeypatch):
    there = Path.is_file

    def is_file(path):
        found = there(path)
        if path.name == "G_1.pth":
            path.unlink()
        return found

    monkeypatch.setattr(Path, "is_file", is_file)
    assert find_models(linked) == ["trained/G_0.pth"]


@pytest.mark.parametrize("path", ["", None, "  "])
def test_nothing_is_asked_for(tmp_path, path):
    with pytest.raises(ConfigError, match="choose a folder first"):
        inside(tmp_path, path, "a folder")


@pytest.mark.parametrize("name", ["", None, ".", "..", "a/b", "a\\b", "a:b", ".hidden", "a\n", "x" * 201])
def test_names_are_plain(name):
    if name == "a\n":
        assert plain_name(name) == "a"
        return
    with pytest.raises(ConfigError, match="the run must be the plain name"):
        plain_name(name, "the run")


def test_models_are_found_where_they_lie(tmp_path):
    for name in (
        "logs/44k/G_5.pth",
        "logs/44k/D_5.pth",
        "logs/44k/diffusion/model_5.pt",
        "trained/a b/音.pth",
        "demo/anna/logs/44k/G_best.pth",
        "demo/anna/dataset/44k/anna/model_1.pt",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "output.pth").touch()
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset/x.pth").touch()
    assert sorted(find_models(tmp_path)) == [
        "demo/anna/logs/44k/G_best.pth",
        "logs/44k/G_5.pth",
        "logs/44k/diffusion/model_5.pt",
        "output.pth",
        "trained/a b/音.pth",
    ]
