import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

import train
import train_diff
from diffusion.config import load_diffusion_config
from diffusion.unit2mel import load_unit2mel
from modules.checkpoint import read_checkpoint
from modules.common.errors import ConfigError
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
    assert f"starting from the base model {Path(base)}; anna as in it" in caplog.messages
    assert not list(Path("logs/new").glob("G_0*"))  # nothing is copied
    assert train.main(["-d", "cpu", "-m", "new", "--base", base]) == 0
    assert f"the base model {Path(base)} has no effect: the run has" in caplog.text
    Path(base).unlink()
    assert train.main(["-d", "cpu", "-m", "new", "--base", base]) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"--base: there is no {Path(base)}")
    assert train.main(["-d", "cpu", "-m", "newer", "--base", "starter"]) == 2
    error = capsys.readouterr().err
    assert "does not fit" in error and "Traceback" not in error
    assert not Path("logs/newer/config.json").exists()


ROOT = Path(train_diff.__file__).parent


def configure_diffusion(train=(), data=(), **model) -> None:
    values = {
        "data": {"duration": 0.4, "encoder": "mfcc", "encoder_out_channels": 12, **dict(data)},
        "model": {"n_layers": 2, "n_chans": 16, "n_hidden": 8, "timesteps": 100, "n_spk": 1, **model},
        "vocoder": {"type": "world", "ckpt": ""},
        "train": {"batch_size": 2, "max_steps": 4, "interval_val": 2, "num_workers": 0, **dict(train)},
        "device": "cpu",
        "spk": {"anna": 0},
    }
    Path("configs/diffusion.yaml").write_text("# mine\n" + yaml.safe_dump(values))


@pytest.fixture(autouse=True)
def _configured(workspace):
    configure_diffusion()


@pytest.mark.parametrize("kind", ["Diffusion", "ReFlow"])
def test_a_model_is_trained_continued_and_can_be_loaded(workspace, capsys, kind):
    configure_diffusion(type=kind)
    assert train_diff.main([]) == 0
    assert "trained 4 steps: logs/44k/diffusion/model_4.pt" in capsys.readouterr().out
    run = Path("logs/44k/diffusion")
    kept = (run / "config.yaml").read_text()
    assert kept == Path("configs/diffusion.yaml").read_text()
    config = load_diffusion_config(run / "config.yaml")
    assert load_unit2mel(run / "model_4.pt", config).config.model.type == kind
    assert "optimizer" not in read_checkpoint(run / "model_4.pt")  # save_opt is off unless set
    configure_diffusion(n_layers=3, type=kind)
    assert train_diff.main([]) == 2
    assert "model_4.pt does not fit" in capsys.readouterr().err
    assert (run / "config.yaml").read_text() == kept  # that of the checkpoints
    configure_diffusion({"max_steps": 6, "save_opt": True}, type=kind)
    assert train_diff.main(["-c", "configs/diffusion.yaml", "--device", "cpu"]) == 0
    content = read_checkpoint(run / "model_6.pt")
    assert content["global_step"] == 6 and content["optimizer"]["state"]
    assert list(run.glob("events.out.tfevents.*")) and (run / "metrics.csv").exists()


def test_features_that_do_not_fit_are_refused_with_what_to_do(workspace, capsys):
    (workspace / "dataset/44k/anna/0.wav.aug_vol.npy").unlink()
    for settings, messages in [
        ({}, ["run preprocess_hubert_f0.py --use_diff again", "0.wav: deleted (aug_"]),
        ({"data": {"encoder": "vec768l12"}}, ["encoder changed from mfcc to vec768l12 (units)"]),
        (
            {"data": {"duration": 2}, "use_pitch_aug": False},
            ["all 1 training clips are shorter than data.duration, 2 s"],
        ),
    ]:
        configure_diffusion(**settings)
        assert train_diff.main([]) == 2
        error = capsys.readouterr().err
        assert all(message in error for message in messages) and not Path("logs").exists()
    configure_diffusion(use_pitch_aug=False)
    assert train_diff.main([]) == 0  # such a model has no use for augmented pairs


def test_a_device_of_the_configuration_that_is_not_there(workspace, capsys):
    text = Path("configs/diffusion.yaml").read_text().replace("device: cpu\n", "device: cuda:77\n")
    Path("configs/diffusion.yaml").write_text(text)
    assert train_diff.main([]) == 2
    assert "--device takes another" in capsys.readouterr().err
    assert train_diff.main(["--device", "cpu"]) == 0


@pytest.mark.parametrize("name", ["diffusion_template.yaml", "diffusion_tiny_template.yaml"])
def test_the_gpu_of_a_configuration_from_the_template_is_used(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    config = load_diffusion_config(ROOT / "configs_template" / name)
    second = replace(config, env=replace(config.env, gpu_id=1))
    assert train_diff._device(None, config) == torch.device("cuda")  # all
    assert train_diff._device(None, second) == torch.device("cuda:1")
    assert train_diff._device("cuda:0", second) == torch.device("cuda:0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match="--device takes another"):
        train_diff._device(None, second)


@pytest.mark.slow
def test_two_processes_train_one_model(workspace):
    """The gradients of every parameter meet: none is left out of a step."""
    clips = [f"dataset/44k/anna/{index}.wav" for index in (0, 1)]
    Path("filelists/train.txt").write_text("\n".join(clips))
    configure_diffusion({"batch_size": 1})
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [sys.executable, *command, str(ROOT / "train_diff.py"), "--device", "cpu"],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    content = read_checkpoint("logs/44k/diffusion/model_4.pt")
    assert content["global_step"] == 4 and len(content["rng"]) == 2
