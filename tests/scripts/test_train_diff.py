import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import train_diff
from diffusion.config import load_diffusion_config
from diffusion.unit2mel import load_unit2mel
from modules.checkpoint import read_checkpoint

ROOT = Path(train_diff.__file__).parent


def configure(train=(), data=(), **model) -> None:
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
    configure()


@pytest.mark.parametrize("kind", ["Diffusion", "ReFlow"])
def test_a_model_is_trained_continued_and_can_be_loaded(workspace, capsys, kind):
    configure(type=kind)
    assert train_diff.main([]) == 0
    assert "trained 4 steps: logs/44k/diffusion/model_4.pt" in capsys.readouterr().out
    run = Path("logs/44k/diffusion")
    kept = (run / "config.yaml").read_text()
    assert kept == Path("configs/diffusion.yaml").read_text()
    config = load_diffusion_config(run / "config.yaml")
    assert load_unit2mel(run / "model_4.pt", config).config.model.type == kind
    assert "optimizer" not in read_checkpoint(run / "model_4.pt")  # save_opt is off unless set
    configure(n_layers=3, type=kind)
    assert train_diff.main([]) == 2
    assert "model_4.pt does not fit" in capsys.readouterr().err
    assert (run / "config.yaml").read_text() == kept  # that of the checkpoints
    configure({"max_steps": 6, "save_opt": True}, type=kind)
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
        configure(**settings)
        assert train_diff.main([]) == 2
        error = capsys.readouterr().err
        assert all(message in error for message in messages) and not Path("logs").exists()
    configure(use_pitch_aug=False)
    assert train_diff.main([]) == 0  # such a model has no use for augmented pairs


def test_a_device_of_the_configuration_that_is_not_there(workspace, capsys):
    text = Path("configs/diffusion.yaml").read_text().replace("device: cpu\n", "device: cuda:77\n")
    Path("configs/diffusion.yaml").write_text(text)
    assert train_diff.main([]) == 2
    assert "--device takes another" in capsys.readouterr().err
    assert train_diff.main(["--device", "cpu"]) == 0


@pytest.mark.slow
def test_two_processes_train_one_model(workspace):
    """The gradients of every parameter meet: none is left out of a step."""
    clips = [f"dataset/44k/anna/{index}.wav" for index in (0, 1)]
    Path("filelists/train.txt").write_text("\n".join(clips))
    configure({"batch_size": 1})
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
