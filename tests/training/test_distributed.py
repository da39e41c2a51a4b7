"""Several processes: the same gradients as one, the same weights everywhere, one end for all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from modules.checkpoint import read_checkpoint
from tests.training.support.clips import make_clips, with_train
from tests.training.support.runs import gradients, trainer

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
