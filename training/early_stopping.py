"""The validation table, the best checkpoint so far, and early stopping.

An overfitting model keeps improving on its training clips while it gets worse on
everything else; only the validation clips show it.
"""

from __future__ import annotations

import csv
import io
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modules.common.files import write_text
from modules.common.metrics import METRICS

logger = logging.getLogger(__name__)

_WARN_AFTER = 5  # validations without a new best


class BestTracker:
    """Writes ``metrics.csv``, knows the best step, and says when to stop.

    Args:
        path: The table, a row per validation.
        best_by: Name of the metric that counts, see modules/common/metrics.py.
        patience: Validations without a new best after which the run should end; 0: never.
    """

    def __init__(self, path: Path, best_by: str, patience: int) -> None:
        self.path, self.best_by, self.patience = path, best_by, patience
        self.best: float | None = None
        self.best_step = self.since = 0  # since: validations since the best
        self._rows: list[dict[str, str]] = []

    def state(self) -> dict[str, Any]:
        """What :meth:`resume` needs; saved with the run."""
        return {name: getattr(self, name) for name in ("best_by", "best", "best_step", "since")}

    def resume(self, state: Mapping[str, Any] | None, step: int) -> None:
        """Go on from the checkpoint of ``step``: later rows of the table are of steps that will be repeated.

        A ``state`` of another metric, or None, means no best yet.
        """
        if state and state.get("best_by") == self.best_by:
            self.best = state.get("best")
            self.best_step, self.since = state.get("best_step", 0), state.get("since", 0)
        self._rows = [row for row in _read(self.path) if int(row["step"]) <= step]

    def update(self, step: int, row: Mapping[str, float]) -> bool:
        """Add the row of one validation, values by column; return whether it is the best so far.

        The metric that counts may be missing (without a vocoder there is no accuracy) or NaN.
        """
        self._rows.append({"step": str(step), **{name: f"{value:.6g}" for name, value in row.items()}})
        self._write()
        value = row.get(self.best_by, math.nan)
        sign = -1 if METRICS[self.best_by].better == "higher" else 1
        if math.isfinite(value) and (self.best is None or sign * value < sign * self.best):
            self.best, self.best_step, self.since = value, step, 0
            return True
        self.since += 1
        if self.since == _WARN_AFTER and self.best is not None:
            logger.warning(
                "step %d: %s has not improved since step %d (%.4g). The model is overfitting: more steps "
                "make it worse, more recordings better. The best checkpoint is from that step",
                step,
                self.best_by,
                self.best_step,
                self.best,
            )
        return False

    @property
    def finished(self) -> bool:
        """Whether the patience is used up."""
        return bool(self.patience) and self.since >= self.patience

    def stop_reason(self) -> str:
        """Why a run that :attr:`finished` ended early."""
        return (
            f"{self.best_by} has not improved in {self.patience} validations; the best was step "
            f"{self.best_step}"
        )

    def _write(self) -> None:
        names = list(dict.fromkeys(name for row in self._rows for name in row))
        text = io.StringIO()
        table = csv.DictWriter(text, names, lineterminator="\n")
        table.writeheader()
        table.writerows(self._rows)
        try:
            write_text(self.path, text.getvalue())
        except PermissionError as error:  # Windows, while another program shows the table; later, then
            logger.warning("%s cannot be written now: %s", self.path, error.strerror)


def _read(path: Path) -> list[dict[str, str]]:
    """Rows of a table; a damaged one counts as empty."""
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
        return [{k: v for k, v in row.items() if k and v} for row in rows if row["step"].isdecimal()]
    except (OSError, KeyError, ValueError, AttributeError):
        return []
