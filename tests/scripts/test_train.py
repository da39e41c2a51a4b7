import sys
from pathlib import Path

import train
from modules.config import load_config
from tests.support.scripts import configure


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
    configure({"score_every": 1, "best_by": "similarity"})
    assert train.main(["-d", "cpu"]) == 2
    err = capsys.readouterr().err
    assert "train.best_by similarity: resemblyzer is not installed; get it with" in err
    assert not list(Path("logs").rglob("G_*.pth"))
    configure({"score_every": 1, "best_by": "mcd"})
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
    assert train.main(["-d", "cpu", "-m", "newer", "--base", "starter"]) == 2
    error = capsys.readouterr().err
    assert "base.safetensors does not fit" in error and "Traceback" not in error
    assert not Path("logs/newer/config.json").exists()
