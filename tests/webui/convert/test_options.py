import argparse
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import gradio as gr
import numpy as np
import pytest

from cluster.kmeans_file import write_centres
from inference.options import ConvertOptions, add_arguments
from modules.common.errors import ConfigError
from tests.cluster.data import write_published_kmeans
from tests.inference.tiny import write_diffusion
from webui.app import translations
from webui.context import Context, Switch
from webui.convert.options import FIRST, GROUPS, SONGS, VOICE, default, field, read_options
from webui.convert.tab import plan_takes
from webui.convert.voice_model import beside, sorted_out
from webui.texts.convert import TEXTS
from webui.uploads import clean_stem, different, uploads_folder, within_reach

NAMES = [option.name for option in fields(ConvertOptions)]


def test_every_option_has_its_place_on_the_page():
    placed = [*FIRST, *VOICE, *SONGS, *(name for group in GROUPS.values() for name in group)]
    assert sorted(placed) == sorted(NAMES)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SONGS])
def test_a_field_shows_what_the_command_line_says(name):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    action = next(action for action in parser._actions if action.dest == name)
    assert action.help.startswith(TEXTS[f"option.{name}.help"][0])
    component = field(Context(Path.cwd(), lambda key: TEXTS[key][0], Switch()), name)
    assert component.info == TEXTS[f"option.{name}.help"][0]
    if action.choices:
        values = [value for _, value in component.choices]
        assert [value for value in values if value] == list(action.choices)
    if not isinstance(default(name), tuple):
        assert component.value == ("" if default(name) is None else default(name))


def test_the_page_has_one_key_for_all_songs():
    assert isinstance(
        field(Context(Path.cwd(), lambda key: TEXTS[key][0], Switch()), "trans", value=0), gr.Number
    )
    assert TEXTS["option.trans.help"][0] == "key change in semitones, one for all songs"


def test_fields_as_they_are_make_the_default_options():
    assert read_options({name: default(name) for name in NAMES}) == ConvertOptions()
    assert read_options({}) == ConvertOptions()
    assert read_options({"diffusion_speedup": None, "device": "", "k_step": None}) == ConvertOptions()


@pytest.mark.parametrize("value", [True, 2.9, float("inf"), [1], {}])
def test_a_whole_number_must_be_one(value):
    with pytest.raises(ConfigError, match="--k_step"):
        read_options({"k_step": value})


def test_all_texts_are_there_in_both_languages():
    words = translations().translations
    assert set(words["en"]) == set(words["zh"])
    assert all(words["zh"].values())
    assert all(text or key.endswith(".help") for key, text in words["en"].items())


def test_the_page_asks_only_for_texts_that_are_there(tmp_path):
    # a process of its own: gradio leaves an event loop open
    code = (
        "import pathlib, gradio as gr, webui.app as app, webui.session as session\n"
        "page, words = app.build(pathlib.Path.cwd(), session.Session())\n"
        "values = [value for block in page.blocks.values() for value in vars(block).values()]\n"
        "asked = {value.key for value in values if isinstance(value, gr.i18n.I18nData)}\n"
        "print(len(asked), sorted(asked - set(words.translations['en'])))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    number, missing = done.stdout.split(" ", 1)
    assert int(number) > 50 and missing.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("song.wav", "song"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\evil.wav", "evil"),
        (".hidden.wav", "hidden"),
        ("歌 曲.flac", "歌 曲"),
        ("a<b>|c*.wav", "a_b__c_"),
        ("...", "song"),
        ("", "song"),
        ("x" * 500 + ".wav", "x" * 100),
        ("歌" * 100 + ".wav", "歌" * 33),
        ("a\x00b\n.wav", "a_b_"),
    ],
)
def test_names_are_cleaned(name, stem):
    assert clean_stem(name) == stem


def test_equal_names_are_numbered():
    assert different(["a", "A", "b", "a"]) == ["a", "A (2)", "b", "a (3)"]


def test_paths_stay_in_the_project_or_the_uploads(tmp_path):
    inner = tmp_path / "trained" / "x.pth"
    upload = uploads_folder() / "abc" / "y.pth"
    assert within_reach(tmp_path, ConvertOptions(model_path=str(inner))).model_path == "trained/x.pth"
    assert within_reach(tmp_path, ConvertOptions(model_path=str(upload))).model_path == str(upload.resolve())
    (tmp_path / "link.pth").symlink_to("/etc/hostname")
    for path in ("/etc/passwd", "../x.pth", str(upload / ".." / ".." / ".." / "x"), "link.pth"):
        with pytest.raises(ConfigError, match="not in the project folder"):
            within_reach(tmp_path, ConvertOptions(model_path=path))


def test_uploaded_files_find_their_places(tmp_path):
    names = {"G_1.pth": "model_path", "config.json": "config_path", "model_1.pt": "diffusion_model_path"}
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    known = dict.fromkeys([*names.values(), "diffusion_config_path"], "as it was")
    assert sorted_out([str(tmp_path / name) for name in names], known) == [
        *(str(tmp_path / name) for name in names),
        "as it was",
    ]
    (tmp_path / "empty.pth").write_bytes(b"")
    with pytest.raises(ConfigError, match="empty"):
        sorted_out([str(tmp_path / "empty.pth")], known)
    with pytest.raises(ConfigError, match="is no model file"):
        sorted_out([str(tmp_path / "virus.exe")], known)


def test_an_uploaded_cluster_file_is_told_from_a_diffusion_model(tmp_path):
    write_published_kmeans(tmp_path / "old.pt", {"anna": np.ones((4, 12), np.float32)})
    write_centres(tmp_path / "own.pt", {"anna": np.ones((4, 12), np.float32)}, "mfcc")
    write_diffusion(tmp_path / "d")
    diffusion = (tmp_path / "d" / "model_8.pt").rename(tmp_path / "kmeans_or_not.pt")
    for name in ("feature_and_index.pkl", "kmeans_10000.pt"):
        (tmp_path / name).write_bytes(b"x")  # its content says nothing
    known = {"diffusion_model_path": "", "cluster_model_path": "", "feature_retrieval": False}
    for name in ("old.pt", "own.pt", "kmeans_10000.pt"):
        path = str(tmp_path / name)
        assert sorted_out([path], {**known, "feature_retrieval": True}) == ["", path, False]
    index = str(tmp_path / "feature_and_index.pkl")
    assert sorted_out([index, str(diffusion)], known) == [str(diffusion), index, True]


def test_the_configuration_beside_a_model_is_found(tmp_path):
    (tmp_path / "voice.json").write_text("{}")
    assert beside(str(tmp_path / "G_1.pth"), "config_path") == (tmp_path / "voice.json").as_posix()
    (tmp_path / "other.json").write_text("{}")
    assert beside(str(tmp_path / "G_1.pth"), "config_path") == ""
    (tmp_path / "config.json").write_text("{}")
    assert beside(str(tmp_path / "G_1.pth"), "config_path") == (tmp_path / "config.json").as_posix()
    assert beside(None, "config_path") == ""


def test_songs_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="choose a song first"):
        plan_takes([], ConvertOptions())
    with pytest.raises(ConfigError, match="not there any more"):
        plan_takes([tmp_path / "gone.wav"], ConvertOptions())
