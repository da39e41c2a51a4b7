import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from tensorboard.summary.writer import event_file_writer

from modules.common.errors import ConfigError
from modules.common.files import write_text
from training.tensorboard import TensorBoardLogger
from webui.language import in_language
from webui.texts import TEXTS
from webui.training.run_folder import RunFolder
from webui.training.tab import base_models, diffusion_folder, loss_table, metrics_table

METRICS = """\
step,epoch,seconds,learning_rate,train_loss,val_loss,mel_l1,f0_accuracy
10,0,5,0.1,3,4,0.9,0.2
20,1,9,0.1,2,3.5,0.7,0.9
30,1,15,0.1,1,3.75,0.8,nan
"""
say = in_language(None)


@pytest.fixture
def run(tmp_path, monkeypatch):
    # files of one second are told apart by this number as text: 100 would come before 99
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))
    write_text(tmp_path / "metrics.csv", METRICS)
    tensorboard = TensorBoardLogger(tmp_path)
    for step in range(1, 2001):
        tensorboard.scalars({"train/total": 100 / step}, step)
    for step in (10, 20, 30):
        tensorboard.audio("audio/0/generated", torch.full((100,), step / 100), 8000, step)
    tensorboard.audio("audio/0/recorded", torch.zeros(50), 8000, 10)
    tensorboard.close()
    return RunFolder(tmp_path)


def write_step(folder, step, loss):
    board = TensorBoardLogger(folder, first=step)
    board.scalars({"train/total": loss}, step)
    board.close()


def test_a_run_is_read_by_many_pages_at_once_and_while_it_continues(run, tmp_path):
    with ThreadPoolExecutor(8) as pool:
        curves = list(pool.map(lambda _: RunFolder(tmp_path).losses(), range(16)))
    assert all(curve == curves[0] for curve in curves) and len(curves[0]["training"]) > 300
    losses = run.losses()
    assert losses["validation"] == [(10, 4.0), (20, 3.5), (30, 3.75)]
    assert len(losses["training"]) <= 600 and losses["training"][-1] == (2000, pytest.approx(0.05))
    stamp = run.stamp()
    write_step(tmp_path, 2001, 7.0)
    assert run.stamp() != stamp
    assert RunFolder(tmp_path).losses()["training"][-1] == (2001, 7.0)


def test_a_new_run_in_the_same_folder_replaces_the_old_one(run, tmp_path):
    for read_between in (True, False):
        assert run.losses()["training"]
        for path in tmp_path.iterdir():
            path.unlink()
        if read_between:
            assert run.losses() == {} and run.clips() == []
        write_step(tmp_path, 1, 5.0 + read_between)
        assert run.losses()["training"] == [(1, 5.0 + read_between)] and run.clips() == []


def test_the_newest_audio_is_played_and_metrics_are_shown_beside_the_best(run):
    assert run.clips() == ["0"]
    step, rate, samples = run.audio("0", "generated")
    assert (step, rate, samples.dtype) == (30, 8000, np.int16)
    assert samples[0] == pytest.approx(0.3 * 32767, abs=2)
    assert run.audio("0", "recorded")[0] == 10
    assert run.audio("7", "recorded") is None
    cells = re.sub(r"(<[^>]*>)+", "|", metrics_table(run.validations(), say))
    assert "Latest validation: step 30, epoch 1" in cells
    assert "|validation loss|3.75|3.5 (20)|" in cells
    assert "|F0 within 50 cents|nan|0.9 (20)|" in cells
    frame = loss_table({"training": [(5, 1.0)]}, say)
    assert list(frame.columns) == ["step", "loss", "curve"]
    assert list(frame["curve"]) == ["training", "validation"]
    assert frame["loss"].isna().tolist() == [False, True] and frame["step"].tolist() == [5, 5]


def test_files_may_be_missing_or_damaged(tmp_path):
    run = RunFolder(tmp_path / "run")
    for content, training in (
        (None, []),
        (METRICS, [(10, 3.0), (20, 2.0), (30, 1.0)]),  # without event files
        ("\x00broken", []),
    ):
        if content:
            write_text(run.folder / "metrics.csv", content)
        assert run.losses().get("training", []) == training
        assert (TEXTS["training.nothing"][0] in metrics_table(run.validations(), say)) == (not training)
    assert run.clips() == [] and run.audio("0", "generated") is None


def test_the_folder_of_a_diffusion_training_is_that_of_its_configuration_and_base_models_are_listed(tmp_path):
    config = "configs/diffusion.yaml"
    assert diffusion_folder(tmp_path, config).as_posix() == "logs/44k/diffusion"
    for content, folder in (("env:\n  expdir: logs/other\n", "logs/other"), ("[", "logs/44k/diffusion")):
        write_text(tmp_path / config, content)
        assert diffusion_folder(tmp_path, config).as_posix() == folder
    write_text(tmp_path / config, "env:\n  expdir: /etc\n")
    with pytest.raises(ConfigError, match="/etc is not in the project folder"):
        diffusion_folder(tmp_path, config)
    path = tmp_path / "trained/anna/G_8.pth"
    path.parent.mkdir(parents=True)
    path.touch()
    assert base_models(tmp_path) == ["", "auto", "starter", "trained/anna/G_8.pth"]
