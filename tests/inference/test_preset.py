"""Presets: what is written is read, explicit flags win, and wrong files are one line."""

import json
from dataclasses import replace

import pytest

from inference.options import ConvertOptions
from inference.options.preset import preset_names, preset_path, read_preset, write_preset
from modules.common.errors import ConfigError

OPTIONS = ConvertOptions(
    model_path="logs/44k/G_8.pth",
    trans=("auto",),
    spk_list=("anna",),
    autotune=0.5,
    scale="A:min",
    diffusion_speedup=None,
    k_step=40,
)


def test_a_preset_holds_all_options_but_those_of_a_song(tmp_path):
    given = replace(OPTIONS, clean_names=("song",), preview=15.0, f0_file="a.csv", device="cuda")
    path = write_preset("anna (soft)", given, tmp_path)
    assert path == tmp_path / "configs" / "presets" / "anna (soft).json" and path.stat().st_size < 3000
    assert ConvertOptions(**read_preset("anna (soft)", tmp_path)) == OPTIONS
    assert preset_names(tmp_path) == ["anna (soft)"]


@pytest.mark.parametrize("name", ["", "..", "../a", "a/b", "a\\b", ".a", " a", "a\n", "x" * 99])
def test_names_that_are_no_file_names_are_refused(tmp_path, name):
    with pytest.raises(ConfigError, match="cannot be the name of a preset"):
        preset_path(name, tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is damaged"),
        ("[" * 9999, "is damaged"),
        ("[]", "is not a preset"),
        (json.dumps({"clean_names": ["a"]}), "of another version: clean_names"),
        (json.dumps({"k_step": 1.5}), "--k_step: 1.5 is not a valid value"),
        (json.dumps({"enhance": 1}), "--enhance: 1 is not a valid value"),
        (json.dumps({"model_path": None}), "--model_path: None is not"),
        (json.dumps({"autotune": 7}), "--autotune must be between 0 and 1"),
        (json.dumps({"trans": ["high"]}), "--trans: "),
    ],
)
def test_wrong_files_are_one_line(tmp_path, content, message):
    path = preset_path("a", tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(ConfigError, match=message) as error:
        read_preset("a", tmp_path)
    assert "\n" not in str(error.value)


def test_a_missing_preset_lists_those_there_are(tmp_path):
    with pytest.raises(ConfigError, match="there are: none; --save_preset writes one"):
        read_preset("bob", tmp_path)
    write_preset("anna", OPTIONS, tmp_path)
    with pytest.raises(ConfigError, match="no preset 'bob' in .*there are: anna"):
        read_preset("bob", tmp_path)
