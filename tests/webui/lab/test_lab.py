import json
from dataclasses import replace

import pytest

from modules.common.errors import CheckpointError, ConfigError
from modules.config import load_config
from tests.inference.tiny import write_diffusion, write_model
from webui.lab import tracks
from webui.lab.compress import compress_with_report
from webui.lab.mix import describe_shares, output_path
from webui.lab.onnx import copy_model, exportable_models
from webui.lab.weights import weight_rows
from webui.language import in_language


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("project 项目")
    write_model(root / "trained/a")
    write_diffusion(root / "logs/44k/diffusion")
    return root


@pytest.fixture
def config(project):
    return tracks.config_beside(project, "trained/a/G_8.pth")


def test_generated_mixes_are_valid_and_shares_are_shown_before_mixing(config):
    for names in ("a", "ab", "abcdefg"):
        spk = {name: i for i, name in enumerate(names)}
        config = replace(config, spk=spk, model=replace(config.model, n_speakers=len(names)))
        fading = tracks.parse_mix(tracks.crossfade_rows(list(names)), config).shares(0, 100, 100)
        equal = tracks.parse_mix(tracks.equal_rows(list(names)), config).shares(0, 100, 100)
        assert fading.shape == equal.shape == (100, len(names)) and fading[0, 0] == 1
    assert describe_shares(["a"], [50], True, "Shares") == ""
    assert describe_shares(["a", "b"], [100, 0, 7], True, "Shares") == "Shares: 73.1% `a`, 26.9% `b`"
    assert describe_shares(["a", "b"], [80, 20], False, "Shares") == "Shares: 80.0% `a`, 20.0% `b`"
    assert "all ratios are 0" in describe_shares(["a", "b"], [0, 0], False, "Shares")


def test_segments_are_split_and_joined_and_an_invalid_table_is_one_sentence(config):
    rows = tracks.crossfade_rows(["anna", "花子"])
    split = tracks.split_last(rows, "anna")
    assert split[:2] == [["anna", 0.0, 0.5, 1.0, 0.5], ["anna", 0.5, 1.0, 0.5, 0.0]]
    tracks.parse_mix(split, config)
    assert tracks.join_last(split, "anna") == rows
    for change, message in (
        (lambda: tracks.join_last(rows, "anna"), "only one segment"),
        (lambda: tracks.split_last(rows, "bob"), "bob has no segment"),
        (lambda: tracks.split_last(rows, None), "choose a speaker first"),
        (lambda: tracks.split_last([["anna", 0, "x", 1, 1]], "anna"), "not a number"),
    ):
        with pytest.raises(ConfigError, match=message):
            change()
    for rows, message in (
        ([["anna", 0.0, 0.4, 1, 1]], "anna .*the last segment must end at 1"),  # as any rule of a mix
        ([["anna", "x", 1, 1, 1]], "segment 1: it must be four numbers"),
        ([["anna", "", 1, 1, 1]], "segment 1: it must be four numbers"),
        ([["", None, "", "", float("nan")]], "speaker anna .*is not listed"),
    ):
        with pytest.raises(ConfigError, match=message):
            tracks.parse_mix([*rows, *tracks.equal_rows(["花子"])], config)


def test_a_mix_is_saved_and_opened(project, config):
    rows = tracks.split_last(tracks.crossfade_rows(["anna", "花子"]), "花子")
    path = tracks.save_mix(project, rows, config, " my mix ")
    assert path.as_posix() == "configs/mixes/my mix.json"
    assert json.loads((project / path).read_text(encoding="utf-8")) == tracks.parse_tracks(rows)
    assert tracks.saved_mixes(project) == ["configs/mixes/my mix.json"]
    assert tracks.open_mix(project, tracks.saved_mixes(project)[0], config) == rows
    (project / "spkmix.py").write_text("spk_mix_map = {0: [[0., 1., 1., 0.]], 1: [[0., 1., 0., 1.]]}")
    assert tracks.open_mix(project, "spkmix.py", config) == tracks.crossfade_rows(["anna", "花子"])
    equal = tracks.equal_rows(["anna", "花子"])
    for act, message in (
        (lambda: tracks.save_mix(project, rows, config, "../evil"), "plain name"),
        (lambda: tracks.save_mix(project, rows[:1], config, "half"), "is not listed"),
        (lambda: tracks.save_mix(project, equal, config, "my mix"), "exists; choose another name, or tick"),
        (lambda: tracks.open_mix(project, "/etc/passwd", config), "not in the project"),
    ):
        with pytest.raises(ConfigError, match=message):
            act()
    assert tracks.open_mix(project, path.as_posix(), config) == rows
    tracks.save_mix(project, equal, config, "my mix", overwrite=True)
    assert tracks.open_mix(project, path.as_posix(), config) == equal


def test_a_model_is_compressed(project):
    message, path = compress_with_report(project, "trained/a/G_8.pth", True, "", "")
    assert path == project / "trained/a/G_8_release.pth" and path.is_file()
    assert "`trained/a/config.json`" in message and "dB" in message
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="exists; choose another name, or tick Overwrite"):
        compress_with_report(project, "trained/a/G_8.pth", False, "", "")
    assert path.read_bytes() == before
    assert compress_with_report(project, "trained/a/G_8.pth", False, "", "", True)[1].read_bytes() != before
    message, path = compress_with_report(project, "logs/44k/diffusion/model_8.pt", False, "trained/d.pt", "")
    assert path == project / "trained/d.pt" and "diffusion model" in message
    (project / "trained/text.pth").write_text("hello")
    for model, output, error, words in (
        ("trained/text.pth", "trained/x.pth", CheckpointError, r"text\.pth"),
        (None, "trained/x.pth", ConfigError, "choose a model first"),
        ("/etc/passwd", "trained/x.pth", ConfigError, "not in the project"),
        ("trained/a/G_8.pth", "../x.pth", ConfigError, "not in the project"),
        ("trained/a/G_8.pth", "x.py", ConfigError, "must end in .pth"),
    ):
        with pytest.raises(error, match=words):
            compress_with_report(project, model, False, output, "")


def test_models_are_written_only_where_models_belong_and_replaced_only_if_asked(project):
    site = project / ".venv/site-packages"
    site.mkdir(parents=True)
    (project / "logs/away").symlink_to(site)
    for output, words in (
        (".venv/site-packages/a.pth", "must be in trained, logs, checkpoints or in the project"),
        ("logs/away/a.pth", "must be in trained, logs, checkpoints or in the project"),
        ("configs/a.pth", "must be in trained"),
        ("demo/anna/logs/a.pth", "must be in trained"),
        ("logs/.hidden/a.pth", "must be the plain name"),
        (".pth.pth", "must be the plain name"),
        ("trained/a*b.pth", "must be the plain name"),
        ("trained/a\x1b.pth", "control characters"),
        ("trained/a/G_8.pth", "exists"),
    ):
        with pytest.raises(ConfigError, match=words):
            output_path(project, output)
    for output in ("output.pth", "logs/44k/new/音.safetensors", "checkpoints/a/model.pth", "trained/x.pt"):
        assert output_path(project, output) == project / output
    assert output_path(project, "trained/a/G_8.pth", True) == project / "trained/a/G_8.pth"
    write_model(project / "demo/anna/logs/44k")  # is listed, but its folder is no place for results
    written = compress_with_report(project, "demo/anna/logs/44k/G_8.pth", False, "", "")[1]
    assert written == project / "trained/G_8_release.pth"


def test_a_model_is_copied_for_export(project):
    assert exportable_models(project) == []
    assert copy_model(project, "trained/a/G_8.pth", "安娜").as_posix() == "checkpoints/安娜"
    assert exportable_models(project) == ["安娜"]
    assert load_config(project / "checkpoints/安娜/config.json").spk
    for model, name, words in (
        ("trained/a/G_8.pth", "安娜", "exists"),
        ("trained/a/G_8.pth", "../x", "plain name"),
        ("logs/44k/diffusion/model_8.pt", "x", r"there is no logs/44k/diffusion/config\.json"),
    ):
        with pytest.raises(ConfigError, match=words):
            copy_model(project, model, name)


def test_the_table_of_weights(monkeypatch, tmp_path):
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path))
    (tmp_path / "rmvpe.pt").touch()
    table = {row[0]: row for row in weight_rows(in_language(None))}
    assert table["rmvpe"][1:3] == ["downloaded", "368 MB"]
    assert "default speech encoder" in table["vec768l12, vec256l9"][3]
    assert table["nsf-snake-hifigan"][1] == "missing, no automatic download"
