"""Several processes: the same gradients as one, the same weights everywhere, one end for all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from modules.checkpoint import read_checkpoint
from modules.common.errors import ConfigError
from tests.training.support.clips import make_clips, with_train
from tests.training.support.runs import gradients, trainer
from training.distributed import DistributedContext

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clips(tmp_path):
    """Windows of unequal length, some without any pitch: their losses are means over different counts."""
    return make_clips(tmp_path / "dataset", {"a": [16, 9, 5, 16], "b": [12, 7, 16, 3]})


def torchrun(count, what, folder, clips):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")} | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.run(
        [*command, "-m", "tests.training.support.ranks", what, str(folder), *map(str, clips)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_two_processes_or_two_batches_give_the_gradients_of_the_joint_batch(clips, tmp_path):
    folder = tmp_path / "run"
    trainer(clips, folder, with_train(max_steps=10, batch_size=4)).run()  # where both start
    (folder / "G_best.pth").unlink()
    (folder / "G_10.pth").rename(folder / "G_0.pth")
    (folder / "metrics.csv").unlink()
    done = torchrun(2, "gradients", folder, clips)
    assert done.returncode == 0, done.stderr
    split = read_checkpoint(folder / "gradients.pt")
    for config in (with_train(batch_size=4), with_train(batch_size=2, accumulate_steps=2)):
        joint = gradients(trainer(clips, folder, config))
        scale = max(float(value.abs().max()) for value in joint.values())
        # float32, summed in another order
        torch.testing.assert_close(split, joint, rtol=1e-4, atol=1e-6 * scale)


def test_a_run_of_two_keeps_its_weights_equal_and_resumes(clips, tmp_path):
    folder = tmp_path / "run"
    done = torchrun(2, "train", folder, clips)
    assert done.returncode == 0, done.stderr
    content = read_checkpoint(folder / "G_20.pth")
    assert content["progress"]["step"] == 20 and len(content["rng"]) == 2
    assert done.stderr.count("stopped at step 20") == 1  # one of them logs
    assert (folder / "G_best.pth").exists() and (folder / "metrics.csv").exists()
    again = torchrun(2, "train", folder, clips)
    assert again.returncode == 0 and "continuing from" in again.stderr


def test_a_process_that_dies_ends_the_others_with_its_message(clips, tmp_path):
    done = torchrun(2, "die", tmp_path / "run", clips)
    assert done.returncode != 0 and "rank 1 gave up" in done.stderr


@pytest.fixture
def join(monkeypatch):
    """Join as one of two processes on a machine of two GPUs; what the context did."""

    def joined(device, rank=1, nccl=True, **environment):
        done: list[object] = []
        values = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
        for name, value in {**values, **environment}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        monkeypatch.setattr(torch.cuda, "set_device", done.append)
        monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: nccl)
        monkeypatch.setattr(torch.distributed, "init_process_group", lambda name, **_: done.append(name))
        return [DistributedContext(torch.device(device)).device, *done]

    return joined


def test_each_process_has_its_own_gpu_and_makes_it_the_current_one(join):
    second = torch.device("cuda:1")
    assert join("cuda") == [second, second, "nccl"]
    assert join("cuda", nccl=False) == [second, second, "gloo"]  # on Windows
    assert join("cpu") == [torch.device("cpu"), "gloo"]
    # one process on each machine
    assert join("cuda:1", LOCAL_RANK="0", LOCAL_WORLD_SIZE="1") == [second, second, "nccl"]
    assert join("cuda:1", RANK="0", WORLD_SIZE="1") == [second, second]  # no torchrun


@pytest.mark.parametrize("rank", [0, 1])
def test_one_gpu_is_not_shared_by_processes(join, rank):
    with pytest.raises(ConfigError, match=r"device cuda:0 is a single GPU.*Remove --device"):
        join("cuda:0", rank)
    with pytest.raises(ConfigError, match=r"--device cpu"):
        join("mps", rank)
    with pytest.raises(ConfigError, match=r"--nproc_per_node"):
        join("cuda", rank, LOCAL_RANK="2")
