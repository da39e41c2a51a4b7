"""How far a job is, as a line and a bar."""

from __future__ import annotations

import html
from collections.abc import Callable

from webui.jobs.panel import clock
from webui.jobs.queue import WAITING, Job
from webui.session import Session


def as_html(job: Job, session: Session, say: Callable[[str], str]) -> str:
    """Return what a job does now, and how long it will still take."""
    before = session.line.before(job) if job.stage == WAITING else 0
    stage = say(f"convert.stage.{job.stage}").format(title=job.title, before=before)
    facts = [stage, f"{job.share:.0%}"]
    if job.seconds_left is not None:
        facts.append(say("convert.left").format(left=clock(job.seconds_left)))
    return bar(" · ".join(facts), job.share)


def bar(text: str, share: float) -> str:
    """Return a line of text over a bar that is filled to ``share``, 0 to 1."""
    return f'<p>{html.escape(text)}</p><progress value="{share:.4f}" max="1" style="width:100%"></progress>'
