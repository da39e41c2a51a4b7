"""Progress of a background job, as a line of text over a bar."""

from __future__ import annotations

import html
from collections.abc import Callable

from webui.jobs.panel import format_duration
from webui.jobs.queue import BackgroundJob, JobQueue


def job_html(job: BackgroundJob, queue: JobQueue, say: Callable[[str], str]) -> str:
    """What a job does now, how much is done and the time left; ``say`` gives texts by key."""
    stage = say(f"job.stage.{job.stage}").format(title=job.title, before=queue.before(job))
    facts = [stage, f"{job.share:.0%}"]
    if job.seconds_left is not None:
        facts.append(f"{format_duration(job.seconds_left)} {say('job.left')}")
    return (
        f"<p>{html.escape(' · '.join(facts))}</p>"
        f'<progress value="{job.share:.4f}" max="1" style="width:100%"></progress>'
    )
