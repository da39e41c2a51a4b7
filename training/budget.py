"""The limits of a run: steps, epochs and minutes, whichever is reached first."""

from __future__ import annotations

from time import perf_counter

from modules.config import TrainConfig
from training.progress import Progress


class Budget:
    """The limits of a run, and the clock that counts its time into ``progress``.

    All time between :meth:`start` and :meth:`tick` counts, whatever it was spent
    on, and so does that of earlier runs, which ``progress`` has.

    ``n_items`` and ``n_steps`` are those of an epoch; 0 ``max_minutes`` are no limit.
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

    def fraction_of_steps(self) -> float:
        """How much of the steps and epochs is done, 0–1; the same in every process."""
        epochs = self.progress.epoch + (self.progress.position >= self.n_items)
        done = self.progress.step - self.progress.start
        steps = done / self.config.max_steps if self.config.max_steps else 0.0
        return 1.0 if epochs >= self.config.epochs else min(1.0, steps)

    def fraction_of_time(self) -> float:
        """How much of the time is used, 0–1, by this process's clock."""
        return min(1.0, self.progress.seconds / self.max_seconds) if self.max_seconds else 0.0

    def expected_steps(self) -> int | None:
        """Step at which the run will end, at the pace so far; None before the first step."""
        steps = self.config.epochs * self.n_steps
        steps = self.progress.start + min(self.config.max_steps or steps, steps)
        if not self.max_seconds:
            return steps
        taken = self.progress.step - self._first_step
        if not taken:
            return None
        left = max(0.0, self.max_seconds - self.progress.seconds)
        pace = (self.progress.seconds - self._earlier) / taken
        return min(steps, self.progress.step + round(left / pace)) if pace else steps

    def stop_reason(self) -> str:
        """What ended the run, for people."""
        if self.max_seconds and self.progress.seconds >= self.max_seconds:
            return f"the time is used up ({self.max_seconds / 60:g} minutes)"
        if self.config.max_steps and self.progress.step - self.progress.start >= self.config.max_steps:
            return f"all steps are done ({self.config.max_steps})"
        return f"all epochs are done ({self.config.epochs})"
