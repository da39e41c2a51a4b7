"""The progress of a run, and the folder of its checkpoints."""

from __future__ import annotations

import logging
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modules.checkpoint import read_checkpoint
from modules.checkpoint.safetensors_io import SUFFIX
from modules.common.errors import CheckpointError

logger = logging.getLogger(__name__)

BASE_STEP = 0  # G_0.pth, or model_0.pt, is a base model: read, never written, never deleted


@dataclass
class Progress:
    """How far a run has come."""

    step: int = 0  # optimizer steps done
    start: int = 0  # step that schedule and limits count from: 0, or where speakers were added
    epoch: int = 0  # index of the current one
    position: int = 0  # items of the current epoch that were used
    seconds: float = 0.0  # so far: loading, steps, validation, saving
    based: bool = False  # the run started from a base model


class CheckpointFolder:
    """The numbered checkpoints of one run: ``G_<step>.pth``, or ``model_<step>.pt`` of diffusion."""

    def __init__(self, folder: str | Path, prefix: str = "G", suffix: str = ".pth") -> None:
        self.folder = Path(folder)
        self._pattern = re.compile(rf"{re.escape(prefix)}_(\d+){re.escape(suffix)}")
        self._name = f"{prefix}_{{}}{suffix}"

    def path(self, step: int) -> Path:
        """File of ``step``; a base model may be a safetensors file."""
        path = self.folder / self._name.format(step)
        flat = path.with_suffix(SUFFIX)
        return flat if step == BASE_STEP and flat.is_file() and not path.is_file() else path

    @property
    def best(self) -> Path:
        """File of the best model; its name has no step, so no run resumes from it."""
        return self.folder / self._name.format("best")

    def steps(self) -> list[int]:
        """Steps that have a checkpoint, in order; other files are ignored."""
        if not self.folder.is_dir():
            return []
        found = (self._pattern.fullmatch(path.name) for path in self.folder.iterdir())
        steps = {int(match.group(1)) for match in found if match}
        return sorted(steps | ({BASE_STEP} if self.path(BASE_STEP).is_file() else set()))

    def newest(self) -> tuple[Path, dict[str, Any]] | None:
        """Path and content of the newest checkpoint that can be read; None without any.

        Damaged ones are skipped with a warning.

        Raises:
            CheckpointError: There are checkpoints, and none can be read.
        """
        steps = self.steps()
        for step in reversed(steps):
            path = self.path(step)
            try:
                return path, read_checkpoint(path)
            except CheckpointError as error:
                logger.warning("%s; trying the checkpoint before it", error)
        if steps:
            raise CheckpointError(f"none of the {len(steps)} checkpoints in {self.folder} can be read")
        return None

    def prune(self, keep: int, written: int, forced: int = 0) -> None:
        """Delete all but the ``keep`` newest (0: none). The base model always stays.

        Steps after ``written``, the last one, do not count: they are damaged, or the run
        would have resumed from them. Neither do multiples of ``forced``, unless it is 0; they stay.
        """
        own = [step for step in self.steps() if BASE_STEP < step <= written]
        own = [step for step in own if not forced or step % forced]
        for step in own[:-keep] if keep > 0 else []:
            try:
                self.path(step).unlink(missing_ok=True)
            except PermissionError as error:  # Windows, while another program reads it: next time
                logger.warning("%s cannot be deleted now: %s", self.path(step), error.strerror)


def progress_of(path: Path, content: dict[str, Any]) -> Progress:
    """Progress of the run when the checkpoint ``path`` was written.

    A published checkpoint has only its step; the epoch restarts. One of Glow was
    written after one step more than its name says.
    """
    saved = content.get("progress")
    if isinstance(saved, dict):
        return Progress(**{k: saved[k] for k in asdict(Progress()) if k in saved})
    step = content.get("global_step")  # of diffusion
    if isinstance(step, int) and step >= 0:
        return Progress(step=step)
    return Progress(step=int(path.stem.rpartition("_")[2]) + 1)
