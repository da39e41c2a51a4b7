import pytest

from modules.errors import ConfigError
from webui.places import find_models, inside, plain_name


@pytest.mark.parametrize("path", ["logs/44k/G_1.pth", "./logs/44k/G_1.pth", "logs/../logs/44k/G_1.pth"])
def test_what_is_in_the_project_is_seen_from_there(tmp_path, path):
    assert inside(tmp_path, path).as_posix() == "logs/44k/G_1.pth"
    assert inside(tmp_path, str(tmp_path / path)).as_posix() == "logs/44k/G_1.pth"


@pytest.mark.parametrize("path", ["..", "/etc/passwd", "logs/../../x", "a\x00b", "x" * 5000, "~/x/../../.."])
def test_what_leads_out_is_refused(tmp_path, path):
    with pytest.raises(ConfigError, match="is not in the project folder"):
        inside(tmp_path, path)


def test_so_is_a_link_that_leads_out(tmp_path):
    (tmp_path / "project").mkdir()
    (tmp_path / "project/link").symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="not in the project folder"):
        inside(tmp_path / "project", "link/x")


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
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "output.pth").touch()
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset/x.pth").touch()
    assert sorted(find_models(tmp_path)) == [
        "logs/44k/G_5.pth",
        "logs/44k/diffusion/model_5.pt",
        "output.pth",
        "trained/a b/音.pth",
    ]
