"""Background jobs of the server, one after the other, with progress and cancellation.

A page that is closed, a button and a lost connection all cancel a job in the
same way: its next report raises Cancelled.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

WAITING, LOADING, CONVERTING, ANALYSING = "waiting", "loading", "converting", "analysing"


class Cancelled(Exception):
    """The job was cancelled."""


class BackgroundJob:
    """One piece of work in a thread.

    Attributes:
        stage: What it does now: "waiting", "loading", "converting" or "analysing".
        title: What it works on.
        share: How much is done, 0 to 1.
        finished: Set when it has ended, in whatever way.
    """

    def __init__(self) -> None:
        self.stage, self.title, self.share = WAITING, "", 0.0
        self.finished = threading.Event()
        self._result: Any = None
        self._error: BaseException | None = None
        self._cancelled = threading.Event()
        self._started: float | None = None

    def run(self, work: Callable[[BackgroundJob], Any]) -> None:
        """Do the work, and keep its result or its exception for :meth:`result`."""
        try:
            self._result = work(self)
        except BaseException as error:
            self._error = error
        finally:
            self.finished.set()

    def cancel(self) -> None:
        """Make the next report raise Cancelled; without effect on a job that has ended."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """Whether the job was asked to stop."""
        return self._cancelled.is_set()

    def enter(self, stage: str, title: str = "") -> None:
        """Set the stage and title; raises Cancelled."""
        self.stage, self.title = stage, title
        self.report(self.share)

    def report(self, share: float) -> None:
        """Set how much is done, 0 to 1; raises Cancelled."""
        if self.cancelled:
            raise Cancelled
        if self.stage == CONVERTING and self._started is None:
            self._started = time.monotonic()
        self.share = share

    @property
    def seconds_left(self) -> float | None:
        """Estimated time to the end; None as long as it is unknown."""
        if self._started is None or self.share <= 0:
            return None
        return (time.monotonic() - self._started) * (1 - self.share) / self.share

    def result(self) -> Any:
        """Wait for the end; return what the work returned, or raise what it raised."""
        self.finished.wait()
        if self._error is not None:
            raise self._error
        return self._result


class JobQueue:
    """Jobs that run one at a time, first come first served."""

    def __init__(self) -> None:
        self._jobs: list[BackgroundJob] = []
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._jobs)

    def submit(self, work: Callable[[BackgroundJob], Any]) -> BackgroundJob:
        """Queue ``work``, which gets the job to report to."""
        job = BackgroundJob()
        with self._changed:
            self._jobs.append(job)
        thread = threading.Thread(target=job.run, args=(lambda job: self._run(job, work),), daemon=True)
        thread.start()
        return job

    def cancel(self) -> None:
        """Cancel all jobs."""
        for job in list(self._jobs):
            job.cancel()

    def before(self, job: BackgroundJob) -> int:
        """Number of jobs that run before ``job``."""
        with self._changed:
            return self._jobs.index(job) if job in self._jobs else 0

    def _run(self, job: BackgroundJob, work: Callable[[BackgroundJob], Any]) -> Any:
        try:
            with self._changed:
                while self._jobs[0] is not job:
                    self._changed.wait(0.2)
                    job.report(0.0)
            return work(job)
        finally:
            with self._changed:
                self._jobs.remove(job)
                self._changed.notify_all()


class PageJobs:
    """The job that each page waits for, by the page's session."""

    def __init__(self) -> None:
        self._jobs: dict[str | None, BackgroundJob] = {}

    @contextmanager
    def waiting(self, page: str | None, job: BackgroundJob) -> Iterator[None]:
        """Cancel ``job`` on leaving the context, as when its page is closed."""
        self._jobs[page] = job
        try:
            yield
        finally:
            job.cancel()
            if self._jobs.get(page) is job:
                del self._jobs[page]

    def cancel(self, page: str | None) -> None:
        """Cancel the job that a page waits for, if any."""
        if job := self._jobs.get(page):
            job.cancel()
