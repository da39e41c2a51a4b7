"""Background jobs of the server, one after the other, with progress and cancellation.

A page that is closed, a button and a lost connection all cancel a job in the
same way: its next report raises Cancelled.
"""

from __future__ import annotations

import html
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import gradio as gr

from modules.common.errors import GlowSVCError
from webui.jobs.panel import format_duration
from webui.language import Say

LONGEST_LINE = 16  # jobs of a queue, the running one included
WAITING, LISTENING, LOADING = "waiting", "listening", "loading"
CONVERTING, ANALYSING, LIVE = "converting", "analysing", "live"


class BusyError(GlowSVCError):
    """There are too many jobs."""


class Cancelled(Exception):
    """The job was cancelled."""


class BackgroundJob:
    """One piece of work in a thread."""

    def __init__(self) -> None:
        self.stage, self.title, self.share = WAITING, "", 0.0  # its stage, object and progress, 0 to 1
        self.finished, self.cancelled = threading.Event(), False  # has ended; was asked to stop
        self._outcome: Future[Any] = Future()
        self.started: float | None = None  # s of time.monotonic when the first conversion began

    def run(self, work: Callable[[BackgroundJob], Any]) -> None:
        """Do the work, and keep its result or its exception for :meth:`result`."""
        try:
            self._outcome.set_result(work(self))
        except BaseException as error:
            self._outcome.set_exception(error)
        finally:
            self.finished.set()

    def cancel(self) -> None:
        """Make the next report raise Cancelled; without effect on a job that has ended."""
        self.cancelled = True

    def enter(self, stage: str, title: str = "") -> None:
        """Set the stage and title; raises Cancelled."""
        self.stage, self.title = stage, title
        self.report(self.share)

    def report(self, share: float) -> None:
        """Set how much is done, 0 to 1; raises Cancelled."""
        if self.cancelled:
            raise Cancelled
        if self.stage == CONVERTING and self.started is None:
            self.started = time.monotonic()
        self.share = share

    def result(self) -> Any:
        """Wait for the end; return what the work returned, or raise what it raised."""
        return self._outcome.result()


class JobQueue:
    """Jobs that run one at a time, first come first served."""

    def __init__(self) -> None:
        self._jobs: list[BackgroundJob] = []
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._jobs)

    def check_room(self) -> None:
        """Raise BusyError if there is no room for another job."""
        if len(self._jobs) >= LONGEST_LINE:
            raise BusyError(f"{len(self._jobs)} jobs are waiting already; try again later")

    def submit(self, work: Callable[[BackgroundJob], Any]) -> BackgroundJob:
        """Queue ``work``, which gets the job to report to; raises BusyError as :meth:`check_room`."""
        job = BackgroundJob()
        with self._changed:
            self.check_room()
            self._jobs.append(job)
        thread = threading.Thread(target=job.run, args=(lambda job: self._run(job, work),), daemon=True)
        thread.start()
        return job

    def cancel(self) -> None:
        """Cancel all jobs."""
        for job in list(self._jobs):
            job.cancel()

    def watch(self, job: BackgroundJob, say: Say) -> Iterator[str]:
        """Yield the progress of a job until it has ended or is cancelled; then it ends at its next report."""
        while not job.finished.wait(0.3) and not job.cancelled:
            yield self.progress_html(job, say)

    def progress_html(self, job: BackgroundJob, say: Say) -> str:
        """What a job does now, how much is done and the time left, over a bar."""
        with self._changed:
            before = self._jobs.index(job) if job in self._jobs else 0
        stage = say(f"job.stage.{job.stage}").format(title=job.title, before=before)
        facts = [stage, f"{job.share:.0%}"]
        if job.started is not None and job.share > 0:
            left = (time.monotonic() - job.started) * (1 - job.share) / job.share
            facts.append(f"{format_duration(left)} {say('job.left')}")
        return (
            f"<p>{html.escape(' · '.join(facts))}</p>"
            f'<progress value="{job.share:.4f}" max="1" style="width:100%"></progress>'
        )

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
    def waiting(self, request: gr.Request, job: BackgroundJob) -> Iterator[None]:
        """Cancel ``job`` on leaving the context, as when the page of ``request`` is closed."""
        page = request.session_hash
        self._jobs[page] = job
        try:
            yield
        finally:
            job.cancel()
            if self._jobs.get(page) is job:
                del self._jobs[page]

    def cancel(self, request: gr.Request) -> None:
        """Cancel the job that the page of ``request`` waits for, if any."""
        if job := self._jobs.get(request.session_hash):
            job.cancel()
