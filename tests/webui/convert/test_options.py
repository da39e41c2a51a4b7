import argparse
from dataclasses import fields
from pathlib import Path

import gradio as gr
import numpy as np
import pytest

from cluster.kmeans_file import write_centres
from inference.options import ConvertOptions
from inference.options.arguments import add_arguments
from modules.common.errors import ConfigError
from tests.cluster.data import write_published_kmeans
from tests.inference.tiny import write_diffusion
from webui.context import Context
from webui.convert.options import ELSEWHERE, GROUPS, MAIN, MODEL, default, field, read_options
from webui.convert.tab import plan_conversions
from webui.convert.voice_model import assign_uploads, find_config, matching_config, selected_options
from webui.texts import PARTS, TEXTS
from webui.uploads import uploads_folder

# the page makes the model of a reference first
NAMES = [option.name for option in fields(ConvertOptions) if option.name != "reference"]
ON_THE_PAGE = [*MAIN, *MODEL, *(name for group in GROUPS.values() for name in group)]
CONTEXT = Context(Path.cwd(), lambda key: TEXTS[key][0])


def test_every_option_is_on_the_page_once_with_a_field_like_that_of_the_command_line():
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    actions = {action.dest: action for action in parser._actions}
    for name in ON_THE_PAGE:
        action, component = actions[name], field(CONTEXT, name)
        assert component.info == TEXTS[f"option.{name}.help"][0]
        if name != "trans":  # the page has one key for all songs
            assert action.help.startswith(component.info)
        if action.choices:
            values = [value for _, value in component.choices]
            assert [value for value in values if value] == list(action.choices)
        if not isinstance(default(name), tuple):
            assert component.value == ("" if default(name) is None else default(name))
    assert isinstance(field(CONTEXT, "trans", value=0), gr.Number)
    assert sorted([*ON_THE_PAGE, *ELSEWHERE]) == sorted(NAMES)  # the page has songs instead of names


def test_values_become_options():
    assert read_options({option: default(option) for option in NAMES}) == ConvertOptions()
    assert read_options({"diffusion_speedup": None, "device": "", "k_step": None}) == ConvertOptions()
    wrong: list[object] = [True, 2.9, float("inf"), [1], {}]
    for value in wrong:
        with pytest.raises(ConfigError, match="--k_step"):
            read_options({"k_step": value})


def test_knobs_are_sliders_keys_may_be_chosen_and_no_file_of_the_server_is_named():
    for name, low, high in (("autotune", 0, 1), ("protect", 0, 1), ("formant", -12, 12)):
        slider = field(CONTEXT, name)
        assert isinstance(slider, gr.Slider) and (slider.minimum, slider.maximum) == (low, high)
    assert read_options({"trans": "auto"}).trans == ("auto",)
    assert read_options({"trans": 3}).trans == (3.0,)
    values = {"trans": 5, "spk_list": [], "model_path": "G_1.pth"}
    assert selected_options(CONTEXT, {**values, "auto_key": True}).trans == ("auto",)
    assert selected_options(CONTEXT, {**values, "auto_key": False}).trans == (5.0,)
    with pytest.raises(ConfigError, match="--write_f0 is an option of the command line alone"):
        read_options({"write_f0": "/etc/passwd"})
    with pytest.raises(ConfigError, match="--trans: 'high' is not a valid value"):
        read_options({"trans": "high"})


def test_every_text_has_one_key_and_both_languages():
    assert len(TEXTS) == sum(map(len, PARTS))
    for key, (english, chinese) in TEXTS.items():
        assert chinese and (english or key.endswith(".help")), key


def test_uploaded_files_are_assigned_to_fields(tmp_path):
    write_published_kmeans(tmp_path / "old.pt", {"anna": np.ones((4, 12), np.float32)})
    write_centres(tmp_path / "own.pt", {"anna": np.ones((4, 12), np.float32)}, "mfcc")
    write_diffusion(tmp_path)
    (tmp_path / "model_8.pt").rename(tmp_path / "kmeans_or_not.pt")
    for name in ("G_1.pth", "a.json", "model_1.pt", "kmeans_10000.pt", "feature_and_index.pkl"):
        (tmp_path / name).write_bytes(b"x")  # not recognised by its content
    names = ("model_path", "config_path", "diffusion_model_path", "cluster_model_path", "feature_retrieval")
    known = dict.fromkeys(names, "as it was")
    for files, changed in (
        (["G_1.pth", "a.json", "model_1.pt"], names[:3]),
        (["kmeans_or_not.pt"], ["diffusion_model_path"]),
        *(([name], ["cluster_model_path"]) for name in ("old.pt", "own.pt", "kmeans_10000.pt")),
        (["feature_and_index.pkl"], ["cluster_model_path"]),
    ):
        paths = [str(tmp_path / name) for name in files]
        expected: dict[str, object] = {**known, **dict(zip(changed, paths, strict=True))}
        if "cluster_model_path" in changed:
            expected["feature_retrieval"] = files == ["feature_and_index.pkl"]
        assert assign_uploads(paths, known) == list(expected.values())
    (tmp_path / "empty.pth").write_bytes(b"")
    for name, words in (("empty.pth", "empty"), ("virus.exe", "is not a model file")):
        with pytest.raises(ConfigError, match=words):
            assign_uploads([str(tmp_path / name)], known)


def test_the_configuration_beside_a_model_is_found_and_a_song_may_be_deleted_meanwhile(tmp_path):
    for name, found in (("voice.json", "voice.json"), ("other.json", ""), ("config.json", "config.json")):
        (tmp_path / name).write_text("{}")
        for model in ("G_1.pth", str(tmp_path / "G_1.pth")):
            assert find_config(tmp_path, model, "config_path") == found
    for named in (None, "a\x00b/G_1.pth", "../G_1.pth", str(tmp_path / "project" / ".." / "G_1.pth")):
        assert find_config(tmp_path / "project", named, "config_path") == ""
    # choosing another model never keeps the configuration of the one before
    alone, uploaded = tmp_path / "alone" / "G_1.pth", uploads_folder()
    alone.parent.mkdir()
    for chosen, known, found in (
        (alone, tmp_path / "config.json", ""),
        (alone, uploaded / "a" / "c.json", ""),
        (uploaded / "b" / "G_1.pth", tmp_path / "config.json", ""),
        (uploaded / "b" / "G_1.pth", uploaded / "a" / "c.json", str(uploaded / "a" / "c.json")),
        (tmp_path / "G_1.pth", uploaded / "a" / "c.json", "config.json"),
    ):
        assert matching_config(tmp_path, str(chosen), str(known), "config_path") == found
    with pytest.raises(ConfigError, match="no longer exists"):
        plan_conversions([tmp_path / "gone.wav"], ConvertOptions())
