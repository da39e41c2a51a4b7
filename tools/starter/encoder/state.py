"""The state of a training run: one safetensors file, so that it continues after any kill."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from tools.starter.encoder.losses import Student
from tools.starter.encoder.tracks import write_tensors

_MOMENTS = ("exp_avg", "exp_avg_sq")  # of Adam


def kept_path(work: Path) -> Path:
    """File of the averaged weights, with the heads."""
    return work / "encoder.safetensors"


class StarterState:
    """A student, the moving average of its weights, and the optimizer's moments."""

    step = 0
    seconds = 0.0
    speakers: tuple[str, ...] = ()  # in the order of the classifier

    def __init__(
        self, work: Path, student: Student, average: Student, optimizer: torch.optim.Optimizer
    ) -> None:
        self._work, self._path = work, work / "training.safetensors"
        self._student, self._average, self._optimizer = student, average, optimizer

    def load(self) -> None:
        """Restore a previous run, if there is one."""
        from safetensors import safe_open

        if not self._path.exists():
            return
        with safe_open(self._path, "pt") as file:
            for prefix, module in (("student", self._student), ("average", self._average)):
                names = module.state_dict()
                module.load_state_dict({name: file.get_tensor(f"{prefix}.{name}") for name in names})
            done = file.metadata()
            self.step, self.seconds = int(done["step"]), float(done["seconds"])
            self.speakers = tuple(json.loads(done["speakers"]))
            for name, parameter in self._student.named_parameters():
                if f"adam.exp_avg.{name}" in file.keys():  # noqa: SIM118
                    moments = {key: file.get_tensor(f"adam.{key}.{name}") for key in _MOMENTS}
                    self._optimizer.state[parameter] = {"step": torch.tensor(float(self.step)), **moments}

    def save(self) -> None:
        """Write the whole state, and the averaged weights to a file of their own."""
        kept = {name: tensor.contiguous() for name, tensor in self._average.state_dict().items()}
        content = {f"average.{name}": tensor for name, tensor in kept.items()}
        content |= {f"student.{name}": tensor for name, tensor in self._student.state_dict().items()}
        for name, parameter in self._student.named_parameters():
            if moments := self._optimizer.state.get(parameter):
                content |= {f"adam.{key}.{name}": moments[key] for key in _MOMENTS}
        done = {
            "step": str(self.step),
            "seconds": str(self.seconds),
            "speakers": json.dumps(self.speakers, ensure_ascii=False),
        }
        write_tensors(self._path, content, done)
        write_tensors(kept_path(self._work), kept, done)
