"""How long a run goes on: steps, epochs and minutes, whichever are used up first."""

from __future__ import annotations

from time import perf_counter

from modules.config import TrainConfig
from training.progress import Progress


class Budget:
    """What a run may use, and the clock that counts its time into ``progress``.

    All time between :meth:`start` and :meth:`tick` counts, whatever it was spent
    on, and so does that of the runs before which ``progress`` remembers.

    Args:
        config: ``max_steps`` and ``epochs`` are read.
        n_items: Items of an epoch.
        n_steps: Steps of an epoch.
        progress: How far the run has come.
        max_minutes: The time; 0 is no limit.
    """

    def __init__(
        self,
        config: TrainConfig,
        n_items: int,
        n_steps: int,
        progress: Progress,
        max_minutes: float = 0.0,
    ) -> None:
        self.config, self.n_items, self.n_steps, self.progress = config, n_items, n_steps, progress
        self.max_seconds = max_minutes * 60
        self.start()

    def start(self) -> None:
        """Start the clock."""
        self._first_step, self._earlier = self.progress.step, self.progress.seconds
        self._began = perf_counter()

    def tick(self) -> None:
        """Bring ``progress.seconds`` up to date."""
        self.progress.seconds = self._earlier + perf_counter() - self._began

    def share(self) -> float:
        """Return how much of the run is done, 0–1: of its steps or its time, whichever is further."""
        return max(self.steps_share(), self.time_share())

    def steps_share(self) -> float:
        """Return how much of the steps and epochs is done, 0–1; every process of a run knows it."""
        epochs = self.progress.epoch + (self.progress.position >= self.n_items)
        steps = self.progress.step / self.config.max_steps if self.config.max_steps else 0.0
        return 1.0 if epochs >= self.config.epochs else min(1.0, steps)

    def time_share(self) -> float:
        """Return how much of the time is used, 0–1; the clock of one process counts for all."""
        return min(1.0, self.progress.seconds / self.max_seconds) if self.max_seconds else 0.0

    def expected_steps(self) -> int | None:
        """Return at which step the run will end, at the pace so far; None as long as there is no pace."""
        steps = self.config.epochs * self.n_steps
        steps = min(self.config.max_steps or steps, steps)
        if not self.max_seconds:
            return steps
        taken = self.progress.step - self._first_step
        if not taken:
            return None
        left = max(0.0, self.max_seconds - self.progress.seconds)
        pace = (self.progress.seconds - self._earlier) / taken
        return min(steps, self.progress.step + round(left / pace)) if pace else steps

    def used_up(self) -> str:
        """Return what ended the run, in words."""
        if self.max_seconds and self.progress.seconds >= self.max_seconds:
            return f"the time is used up ({self.max_seconds / 60:g} minutes)"
        if self.config.max_steps and self.progress.step >= self.config.max_steps:
            return f"all steps are done ({self.config.max_steps})"
        return f"all epochs are done ({self.config.epochs})"
