"""How far a job is, as a line and a bar."""

from __future__ import annotations

import html
from collections.abc import Callable

from webui.jobs import WAITING, Job
from webui.panel import clock
from webui.session import Session


def as_html(job: Job, session: Session, say: Callable[[str], str]) -> str:
    """Return what a job does now, and how long it will still take."""
    before = session.line.before(job) if job.stage == WAITING else 0
    stage = say(f"convert.stage.{job.stage}").format(title=job.title, before=before)
    facts = [stage, f"{job.share:.0%}"]
    if job.seconds_left is not None:
        facts.append(say("convert.left").format(left=clock(job.seconds_left)))
    return (
        f"<p>{html.escape(' · '.join(facts))}</p>"
        f'<progress value="{job.share:.4f}" max="1" style="width:100%"></progress>'
    )
