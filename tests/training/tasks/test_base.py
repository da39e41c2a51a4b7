from dataclasses import dataclass

import torch

from modules.checkpoint import read_checkpoint
from tests.training.support.clips import with_train
from training.data.batches import TensorBatch
from training.distributed import DistributedContext
from training.loop import Trainer
from training.tasks.base import Task


class StraightLine(Task):
    """A task that has nothing to do with voices: y = w · x."""

    checkpoints = ("model", ".pt")
    config_name = "line.json"
    advice = {"memory": "", "nan": ""}
    speaker_tables = ()
    coefficients = {"square": 1.0}

    def __init__(self):
        torch.manual_seed(0)
        self.model = torch.nn.Linear(1, 1)
        self.training_set = Points()

    def entries(self, step, epoch):
        return {"taken": step}

    def weights(self, batch):
        return {"square": torch.tensor(float(len(batch)))}

    def losses(self, network, batch):
        return {"square": (network(batch.x) - 3 * batch.x).square().mean()}

    def validate(self, model, tensorboard, step):
        return {"val_loss": abs(3 - model.weight.item())}


class Points(torch.utils.data.Dataset):
    lengths = (1, 1, 1, 1)

    def __len__(self):
        return 4

    def __getitem__(self, item):
        return PointBatch(torch.tensor([[float(item[1])]]))


@dataclass(frozen=True)
class PointBatch(TensorBatch):
    x: torch.Tensor


def test_any_task_can_be_trained(tmp_path):
    def trainer():
        config = with_train(max_steps=100, eval_interval=50, learning_rate=0.3, warmup_steps=1, keep_ckpts=1)
        return Trainer(StraightLine(), config.train, tmp_path, DistributedContext(torch.device("cpu")))

    run = trainer()
    run.run()
    assert abs(run.task.model.weight.item() - 3) < 0.1
    assert {path.name for path in tmp_path.glob("*.pt")} == {"model_100.pt", "model_best.pt"}
    assert read_checkpoint(tmp_path / "model_100.pt")["taken"] == 100
    assert trainer().progress.step == 100
