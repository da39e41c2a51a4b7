import json

import pytest

from modules.common.errors import CheckpointError, ConfigError
from modules.config import load_config
from tests.inference.tiny import write_diffusion, write_model
from webui.lab.compress import compress_for_page
from webui.lab.mix import checked_output, shares_of
from webui.lab.onnx import copy_voice, voices
from webui.lab.tracks import (
    config_beside,
    fading,
    join_last,
    level,
    mix_of,
    open_mix,
    save_mix,
    saved,
    split_last,
    tracks_of,
)
from webui.lab.weights import rows
from webui.language import in_language
from webui.texts.lab import TEXTS


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("project 项目")
    write_model(root / "trained/a")
    write_diffusion(root / "logs/44k/diffusion")
    return root


@pytest.fixture
def config(project):
    return config_beside(project, "trained/a/G_8.pth")


@pytest.mark.parametrize("names", [["a"], ["a", "b"], ["a", "b", "c", "d", "e", "f", "g"]])
def test_what_the_editor_makes_can_be_sung(project, names):
    spk = {name: i for i, name in enumerate(names)}
    from dataclasses import replace

    config = load_config(project / "trained/a/config.json")
    config = replace(config, spk=spk, model=replace(config.model, n_speakers=len(names)))
    for made in (fading(names), level(names)):
        shares = mix_of(made, config).shares(0, 100, 100)
        assert shares.shape == (100, len(names))
    if len(names) > 1:
        assert mix_of(fading(names), config).shares(0, 100, 100)[0, 0] == 1


def test_segments_are_cut_and_joined(config):
    start = fading(["anna", "花子"])
    cut = split_last(start, "anna")
    assert cut[:2] == [["anna", 0.0, 0.5, 1.0, 0.5], ["anna", 0.5, 1.0, 0.5, 0.0]]
    mix_of(cut, config)
    assert join_last(cut, "anna") == start
    with pytest.raises(ConfigError, match="only one segment"):
        join_last(start, "anna")
    with pytest.raises(ConfigError, match="nobody has no segment"):
        split_last(start, "nobody")
    with pytest.raises(ConfigError, match="choose a speaker first"):
        split_last(start, None)
    with pytest.raises(ConfigError, match="no number"):
        split_last([["anna", 0, "x", 1, 1]], "anna")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({1: ["anna", 0.0, 0.4, 1, 1]}, "speaker anna .*segment 2 .*it must start at 1"),
        ({0: ["anna", 0.0, 0.4, 1, 1]}, "the last segment must end at 1"),
        ({0: ["anna", "x", 1, 1, 1]}, "segment 1: it must be four numbers"),
        ({0: ["anna", "", 1, 1, 1]}, "segment 1: it must be four numbers"),
        ({0: ["nobody", 0, 1, 1, 1]}, "the model has no speaker 'nobody'"),
        ({0: ["", None, "", "", ""]}, "speaker anna .*is not listed"),
        ({0: ["anna", 0, 1, -1, 1]}, "a value must not be below 0"),
        ({0: ["anna", 0, float("nan"), 1, 1]}, "it must be four numbers"),
    ],
)
def test_a_broken_rule_has_its_sentence(config, change, message):
    made = level(["anna", "花子"])
    for place, row in change.items():
        made = [*made[:place], row, *made[place + (place == 0) :]]
    with pytest.raises(ConfigError, match=message):
        mix_of(made, config)


def test_a_mix_is_saved_and_opened_again(project, config):
    made = split_last(fading(["anna", "花子"]), "花子")
    path = save_mix(project, made, config, " my mix ")
    assert path.as_posix() == "configs/mixes/my mix.json"
    assert json.loads((project / path).read_text(encoding="utf-8")) == tracks_of(made)
    assert saved(project) == ["configs/mixes/my mix.json"]
    assert open_mix(project, saved(project)[0], config) == made
    (project / "spkmix.py").write_text("spk_mix_map = {0: [[0., 1., 1., 0.]], 1: [[0., 1., 0., 1.]]}")
    assert open_mix(project, "spkmix.py", config) == fading(["anna", "花子"])
    with pytest.raises(ConfigError, match="plain name"):
        save_mix(project, made, config, "../evil")
    with pytest.raises(ConfigError, match="is not listed"):
        save_mix(project, made[:1], config, "half")
    with pytest.raises(ConfigError, match="not in the project"):
        open_mix(project, "/etc/passwd", config)


def test_shares_are_told_before_anything_is_mixed():
    assert shares_of(["a"], [50], True, "Shares") == ""
    assert shares_of(["a", "b"], [100, 0, 7], True, "Shares") == "Shares: 73.1% `a`, 26.9% `b`"
    assert shares_of(["a", "b"], [80, 20], False, "Shares") == "Shares: 80.0% `a`, 20.0% `b`"
    assert "all ratios are 0" in shares_of(["a", "b"], [0, 0], False, "Shares")


@pytest.mark.parametrize("name", ["", "../x.pth", "/tmp/x.pth", "x.py", "configs/config.json"])
def test_results_are_models_in_the_project(project, name):
    with pytest.raises(ConfigError):
        checked_output(project, name)


def test_a_model_is_compressed(project):
    message, path = compress_for_page(project, "trained/a/G_8.pth", True, "", "")
    assert path == project / "trained/a/G_8_release.pth" and path.is_file()
    assert "`trained/a/config.json`" in message and "dB" in message
    message, path = compress_for_page(project, "logs/44k/diffusion/model_8.pt", False, "trained/d.pt", "")
    assert path == project / "trained/d.pt" and "diffusion model" in message


def test_what_is_no_model_is_not_compressed(project):
    (project / "trained/text.pth").write_text("hello")
    with pytest.raises(CheckpointError, match=r"text\.pth"):
        compress_for_page(project, "trained/text.pth", False, "trained/x.pth", "")
    with pytest.raises(ConfigError, match="choose a model first"):
        compress_for_page(project, None, False, "", "")
    with pytest.raises(ConfigError, match="not in the project"):
        compress_for_page(project, "/etc/passwd", False, "", "")


def test_a_voice_is_copied_for_export(project):
    assert voices(project) == []
    assert copy_voice(project, "trained/a/G_8.pth", "安娜").as_posix() == "checkpoints/安娜"
    assert voices(project) == ["安娜"]
    assert load_config(project / "checkpoints/安娜/config.json").spk
    with pytest.raises(ConfigError, match="is there already"):
        copy_voice(project, "trained/a/G_8.pth", "安娜")
    with pytest.raises(ConfigError, match="plain name"):
        copy_voice(project, "trained/a/G_8.pth", "../x")
    with pytest.raises(ConfigError, match=r"there is no logs/44k/diffusion/config\.json"):
        copy_voice(project, "logs/44k/diffusion/model_8.pt", "x")


def test_the_table_of_weights(monkeypatch, tmp_path):
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path))
    (tmp_path / "rmvpe.pt").touch()
    table = {row[0]: row for row in rows(in_language(TEXTS, None), {"rmvpe": "F0 预测器"})}
    assert table["rmvpe"][1:3] == ["there", "368 MB"]
    assert table["rmvpe"][3] == "F0 预测器"
    assert "default speech encoder" in table["vec768l12, vec256l9"][3]
    assert table["nsf-snake-hifigan"][1] == "missing, to be got by hand"
