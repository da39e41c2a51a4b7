import json
import sys
from pathlib import Path
from typing import Any

import pytest

import preprocess_hubert_f0
import train
from modules.config import load_config
from modules.dsp.audio import write_audio
from tests.support.golden_cases import voice

CONFIG: dict[str, Any] = {
    "train": {"max_steps": 2, "eval_interval": 2, "batch_size": 2, "max_speclen": 16},
    "model": {
        "hidden_channels": 16,
        "filter_channels": 16,
        "n_layers": 1,
        "n_flow_layer": 1,
        "n_flow_block_layer": 1,
        "gin_channels": 8,
        "ssl_dim": 12,
        "n_speakers": 1,
        "speech_encoder": "mfcc",
        "vocoder_name": "world",
    },
    "spk": {"anna": 0},
}


def configure(**model) -> None:
    Path("configs").mkdir(exist_ok=True)
    values = {**CONFIG, "model": {**CONFIG["model"], **model}}
    Path("configs/config.json").write_text(json.dumps(values))


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """Two clips through step 3, and a configuration."""
    monkeypatch.chdir(tmp_path)
    configure()
    Path("filelists").mkdir()
    for index, name in enumerate(("train", "val")):
        clip = f"dataset/44k/anna/{index}.wav"
        write_audio(clip, voice(1.0, 44100, 220.0 * (1 + index)), 44100)
        Path(f"filelists/{name}.txt").write_text(clip)
    assert preprocess_hubert_f0.main(["--device", "cpu"]) == 0
    return tmp_path


def test_the_configuration_beside_the_checkpoints_is_always_theirs(workspace, capsys):
    assert train.main(["-d", "cpu"]) == 0
    kept = Path("logs/44k/config.json").read_bytes()
    assert load_config("logs/44k/config.json").f0_range["anna"][1] > 100
    configure(hidden_channels=32)
    assert train.main(["-d", "cpu"]) == 2
    assert "G_2.pth does not fit" in capsys.readouterr().err
    assert Path("logs/44k/config.json").read_bytes() == kept
    configure(p_dropout=0.1)  # this one fits
    assert train.main(["-d", "cpu"]) == 0
    assert load_config("logs/44k/config.json").model.p_dropout == 0.1
    assert "trained 2 steps" in capsys.readouterr().out


def test_missing_evaluators_matter_only_where_the_best_is_chosen_by_them(
    workspace, monkeypatch, capsys, caplog
):
    from evaluation.evaluators import similarity

    for package in ("resemblyzer", "speechmos"):
        monkeypatch.setitem(sys.modules, package, None)
    similarity.load_encoder.cache_clear()
    path = Path("configs/config.json")
    values = json.loads(path.read_text())
    values["train"] |= {"score_every": 1, "best_by": "similarity"}
    path.write_text(json.dumps(values))
    assert train.main(["-d", "cpu"]) == 2
    err = capsys.readouterr().err
    assert "train.best_by similarity: resemblyzer is not installed; get it with" in err
    assert not list(Path("logs").rglob("G_*.pth"))
    values["train"]["best_by"] = "mcd"
    path.write_text(json.dumps(values))
    assert train.main(["-d", "cpu"]) == 0
    assert "train.score_every: no dnsmos_ovrl: speechmos is not installed" in caplog.text
    assert "best mcd" in capsys.readouterr().out


def test_a_base_model_is_the_start_of_a_new_run_only(workspace, capsys, caplog):
    assert train.main(["-d", "cpu", "-m", "old"]) == 0
    base = "logs/old/G_2.pth"
    assert train.main(["-d", "cpu", "-m", "new", "--base", base]) == 0
    assert f"starting from the base model {Path(base)}" in caplog.messages
    assert not list(Path("logs/new").glob("G_0*"))  # nothing is copied
    Path(base).unlink()
    assert train.main(["-d", "cpu", "-m", "new", "--base", base]) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"--base: there is no {Path(base)}")


def test_a_base_model_that_does_not_fit_is_one_line(workspace, capsys):
    assert train.main(["-d", "cpu", "--base", "starter"]) == 2
    error = capsys.readouterr().err
    assert "base.safetensors does not fit" in error and "Traceback" not in error
    assert not Path("logs/44k/config.json").exists()
