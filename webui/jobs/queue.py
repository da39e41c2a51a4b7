"""Work in a thread of its own, in its turn, that can be watched and cancelled.

A page that is closed, a button and a lost connection all end a job in the same
way: it is told to stop, and does so the next time that it reports.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

WAITING, LOADING, CONVERTING, DRAWING = "waiting", "loading", "converting", "drawing"


class Cancelled(Exception):
    """Somebody asked for the work to stop."""


class Job:
    """One piece of work.

    Args:
        work: Told the job, to report to; its result is kept.

    Attributes:
        stage: What it does now: "waiting", "loading", "converting" or "drawing".
        title: What it works on.
        share: How much is done, 0 to 1.
        finished: Set when it has ended, in whatever way.
    """

    def __init__(self, work: Callable[[Job], Any]) -> None:
        self.stage, self.title, self.share = WAITING, "", 0.0
        self.finished = threading.Event()
        self._work, self._result = work, None
        self._error: BaseException | None = None
        self._cancelled = threading.Event()
        self._began: float | None = None
        self._thread = threading.Thread(target=self._run, name="glow-svc job", daemon=True)

    def start(self) -> Job:
        """Let it work; return itself."""
        self._thread.start()
        return self

    def cancel(self) -> None:
        """Ask it to stop; it does at its next report, and a job that has ended does not mind."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked it to stop."""
        return self._cancelled.is_set()

    def enter(self, stage: str, title: str = "") -> None:
        """Note what is done from now on; raises Cancelled if it is to stop."""
        self.stage, self.title = stage, title
        self.report(self.share)

    def report(self, share: float) -> None:
        """Note how much is done, 0 to 1; raises Cancelled if it is to stop."""
        if self._cancelled.is_set():
            raise Cancelled
        if self.stage == CONVERTING and self._began is None:
            self._began = time.monotonic()
        self.share = share

    @property
    def seconds_left(self) -> float | None:
        """How long it will still take, as it has gone so far; None where that cannot be known yet."""
        if self._began is None or self.share <= 0:
            return None
        spent = time.monotonic() - self._began
        return spent * (1 - self.share) / self.share

    def result(self) -> Any:
        """Wait for the end, and return what the work returned or raise what it raised."""
        self.finished.wait()
        if self._error is not None:
            raise self._error
        return self._result

    def _run(self) -> None:
        try:
            self._result = self._work(self)
        except BaseException as error:  # whoever asks for the result gets it
            self._error = error
        finally:
            self.finished.set()


class Line:
    """Jobs take turns, in the order in which they came."""

    def __init__(self) -> None:
        self._jobs: list[Job] = []
        self._turn = threading.Condition()

    def __len__(self) -> int:
        return len(self._jobs)

    def cancel(self) -> None:
        """Cancel all that wait or work."""
        for job in list(self._jobs):
            job.cancel()

    def before(self, job: Job) -> int:
        """Return how many have to end before ``job`` has its turn."""
        with self._turn:
            return self._jobs.index(job) if job in self._jobs else 0

    @contextmanager
    def turn(self, job: Job) -> Iterator[None]:
        """Hold up ``job`` until it is its turn; raises Cancelled if it is to stop meanwhile."""
        with self._turn:
            self._jobs.append(job)
        try:
            with self._turn:
                while self._jobs[0] is not job:
                    self._turn.wait(0.2)
                    job.report(0.0)
            yield
        finally:
            with self._turn:
                self._jobs.remove(job)
                self._turn.notify_all()


class PageJobs:
    """Of every page, by its session, the job that it waits for."""

    def __init__(self) -> None:
        self._jobs: dict[str | None, Job] = {}

    @contextmanager
    def waiting(self, page: str | None, job: Job) -> Iterator[None]:
        """Let a page wait for ``job``: when it stops to, as by being closed, the job is cancelled."""
        self._jobs[page] = job
        try:
            yield
        finally:
            job.cancel()
            if self._jobs.get(page) is job:
                del self._jobs[page]

    def cancel(self, page: str | None) -> None:
        """Cancel the job that a page waits for, if there is one."""
        if job := self._jobs.get(page):
            job.cancel()
