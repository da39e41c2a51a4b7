import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from modules.checkpoint import read_checkpoint, write_checkpoint
from modules.errors import CheckpointError, TrainingError
from modules.files import replacing
from tests.training.clips import CONFIG, make_clips, with_train
from training.glow import GlowTask
from training.loop import Trainer

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


@pytest.fixture
def clips(tmp_path):
    return make_clips(tmp_path / "dataset", {"a": [40, 50], "b": [60]}, perturbed=1)


def trainer(clips, folder, config=CONFIG) -> Trainer:
    torch.manual_seed(0)  # the model's first weights
    return Trainer(GlowTask(config, clips, clips[:1], CPU), config, folder, CPU)


def weights(folder: Path, step: int) -> dict[str, torch.Tensor]:
    return read_checkpoint(folder / f"G_{step}.pth")["model"]


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], two[name]) for name in one)


def test_the_loss_falls_and_validation_is_written(clips, tmp_path):
    first = trainer(clips, tmp_path / "run")
    values = []
    step = first._step
    first._step = lambda batch: values.append(step(batch)) or values[-1]
    first.run()
    losses = [float(value["total"]) for value in values]
    assert len(losses) == 40 and sum(losses[-5:]) < sum(losses[:5])
    assert all(float(value["lf0"]) > 0 for value in values)  # automatic F0 is trained
    assert list((tmp_path / "run").glob("events.out.tfevents.*"))


@pytest.mark.parametrize("changes", [{}, {"ema_decay": 0.9}, {"fp16_run": True, "half_type": "bf16"}])
def test_a_stopped_run_goes_on_as_if_it_had_not_been(clips, tmp_path, changes):
    """Exact on one CPU: chance follows from (seed, epoch, item), the rest is in the checkpoint."""
    config = with_train(**changes)
    trainer(clips, tmp_path / "straight", config).run()
    _run_until(clips, tmp_path / "stopped", config, 17)
    trainer(clips, tmp_path / "stopped", config).run()
    straight, resumed = (read_checkpoint(tmp_path / name / "G_40.pth") for name in ("straight", "stopped"))
    assert same(straight["model"], resumed["model"])
    assert straight["progress"]["epoch"] == resumed["progress"]["epoch"]


def _run_until(clips, folder, config, step):
    run = trainer(clips, folder, config)
    take = run._step

    def once(batch):
        values = take(batch)
        if run.progress.step == step:
            os.kill(os.getpid(), signal.SIGINT)
        return values

    run._step = once
    with pytest.raises(KeyboardInterrupt):
        run.run()
    assert run.checkpoints.steps()[-1] == step


def test_a_killed_run_goes_on_from_its_last_checkpoint(clips, tmp_path):
    """Kill -9 at any moment leaves whole checkpoints only."""
    config = with_train(max_steps=200, eval_interval=5)
    script = (
        "import sys; from pathlib import Path; from tests.training.test_loop import *;"
        "from tests.training.clips import with_train;"
        f"trainer([Path(p) for p in {[str(c) for c in clips]!r}], Path({str(tmp_path / 'run')!r}),"
        "with_train(max_steps=200, eval_interval=5)).run()"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "G_10.pth").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert (tmp_path / "run" / "G_10.pth").exists()
    resumed = trainer(clips, tmp_path / "run", config)
    assert resumed.progress.step >= 10 and not resumed.fresh


def test_a_base_model_is_a_start_and_stays(clips, tmp_path):
    base = trainer(clips, tmp_path / "base", with_train(max_steps=10))
    base.run()
    folder = tmp_path / "run"
    content = read_checkpoint(tmp_path / "base" / "G_10.pth")
    write_checkpoint(folder / "G_0.pth", {"model": content["model"], "optimizer": None, "iteration": 0})
    before = (folder / "G_0.pth").read_bytes()
    run = trainer(clips, folder, with_train(max_steps=30, keep_ckpts=1))
    assert run.progress.step == 0 and not run.fresh
    assert same(run.task.model.state_dict(), content["model"])
    run.run()
    assert run.checkpoints.steps() == [0, 30]
    assert (folder / "G_0.pth").read_bytes() == before


def test_a_compressed_or_published_checkpoint_is_a_valid_start(clips, tmp_path):
    trainer(clips, tmp_path / "run", with_train(max_steps=10)).run()
    path = tmp_path / "run" / "G_10.pth"
    content = read_checkpoint(path)
    write_checkpoint(
        path, {"model": content["model"], "iteration": 1, "optimizer": None, "learning_rate": 0.7}
    )
    run = trainer(clips, tmp_path / "run")
    assert run.progress.step == 11 and not run.optimizer.state


def test_another_model_size_is_refused_and_nothing_is_lost(clips, tmp_path):
    from dataclasses import replace

    trainer(clips, tmp_path / "run", with_train(max_steps=10)).run()
    before = (tmp_path / "run" / "G_10.pth").read_bytes()
    other = replace(CONFIG, model=replace(CONFIG.model, hidden_channels=32))
    with pytest.raises(CheckpointError, match=r"G_10\.pth does not fit"):
        trainer(clips, tmp_path / "run", other)
    assert (tmp_path / "run" / "G_10.pth").read_bytes() == before


def test_a_loss_that_is_no_number_stops_the_run_and_is_not_saved(clips, tmp_path):
    run = trainer(clips, tmp_path / "run")
    losses = run.task.losses

    def poisoned(batch):
        total, parts = losses(batch)
        return (total * float("nan"), parts) if run.progress.step == 12 else (total, parts)

    run.task.losses = poisoned
    with pytest.raises(TrainingError, match="learning_rate"):
        run.run()
    assert run.checkpoints.steps() == [10]


def test_a_full_disk_keeps_the_last_good_checkpoint(clips, tmp_path, monkeypatch):
    run = trainer(clips, tmp_path / "run")

    def full(path, content):
        if run.progress.step == 10:
            return write_checkpoint(path, content)
        with replacing(path) as temporary:
            temporary.write_bytes(b"half")
            raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("training.loop.write_checkpoint", full)
    with pytest.raises(OSError, match="No space"):
        run.run()
    assert run.checkpoints.steps() == [10]
    assert not list((tmp_path / "run").glob(".*tmp*"))
    assert json.loads(json.dumps(run.checkpoints.newest()[1]["progress"]))["step"] == 10
