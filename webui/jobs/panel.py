"""Panel for a running script: progress, time left, output, and buttons to pause and stop it."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from tqdm import tqdm

from modules.common.progress import ProgressEvent
from webui.context import Context
from webui.jobs.processes import FAILED, PAUSED, RUNNING, STOPPING, Processes, ProcessStatus
from webui.language import Say, in_language
from webui.toasts import toasts

OFTEN, SELDOM = 1.5, 8.0  # s between two updates, while a script runs and while none does
_COLOURS = {FAILED: "var(--error-icon-color, #b91c1c)", PAUSED: "var(--body-text-color-subdued)"}

Plan = Callable[..., tuple[str, str, list[str]]]  # values of fields -> kind, script, its arguments


class Panel:
    """Status of the running or newest process of some kinds.

    Args:
        context: Of the page.
        kinds: Kinds of processes that are started here.
    """

    def __init__(self, context: Context, kinds: Sequence[str]) -> None:
        self.context, self.processes, self.kinds = context, Processes(context.root), kinds
        text = context.text
        self.status = gr.HTML(visible=False)
        with gr.Row():
            self.pause = gr.Button(text("job.pause"), visible=False, min_width=120)
            self.resume = gr.Button(text("job.resume"), visible=False, min_width=120)
            self.stop = gr.Button(text("job.stop"), visible=False, min_width=120, variant="stop")
        with gr.Accordion(text("job.output"), open=False, visible=False) as self.folded:
            self.output = gr.Textbox(
                lines=12, max_lines=12, show_label=False, interactive=False, buttons=["copy"]
            )
        self.timer = gr.Timer(1.0)
        self._seen = gr.State("")
        self.timer.tick(concurrency_limit=None, **self._refresh())
        self.pause.click(**self._press("pause")).then(**self._refresh())
        self.resume.click(**self._press("resume")).then(**self._refresh())
        self.stop.click(**self._press("stop")).then(**self._refresh())

    def starts(self, button: gr.Button, plan: Plan, inputs: Sequence[Any] = ()) -> None:
        """Let ``button`` start the script that ``plan`` returns for the values of ``inputs``."""

        def start(*values: Any) -> None:
            self.processes.start(*plan(*values))

        button.click(toasts(start, self.context.debug), list(inputs), None, api_visibility="private").success(
            **self._refresh()
        )

    def _refresh(self) -> dict[str, Any]:
        shown = [self.status, self.folded, self.output, self.pause, self.resume, self.stop]
        return {
            "fn": self.refresh,
            "inputs": self._seen,
            "outputs": [*shown, self.timer, self._seen],
            "show_progress": "hidden",
            "api_visibility": "private",
        }

    def _press(self, name: str) -> dict[str, Any]:
        def press() -> None:
            job = self.processes.newest(self.kinds)
            getattr(self.processes, name)(job.kind if job else self.kinds[0])

        return {"fn": toasts(press, self.context.debug), "api_visibility": "private"}

    def refresh(self, seen: str, request: gr.Request) -> Any:
        """Update the components, if anything has changed since ``seen``."""
        job = self.processes.newest(self.kinds)
        say = in_language(request)
        state = f"{job.status} {job.kind} {process_html(job, say)} {job.output}" if job else "nothing"
        if state == seen:
            return gr.skip()
        was, _, kind = seen.partition(" ")
        if job and job.status == FAILED and was in (RUNNING, STOPPING) and kind.startswith(job.kind):
            gr.Warning(html.escape(job.message, quote=False))
        alive = bool(job and job.alive)
        status = job.status if job else ""
        return (
            gr.HTML(process_html(job, say) if job else "", visible=job is not None),
            gr.Accordion(visible=job is not None),
            job.output if job else "",
            gr.Button(visible=status == RUNNING),
            gr.Button(visible=status == PAUSED),
            gr.Button(say("job.kill") if status == STOPPING else say("job.stop"), visible=alive),
            gr.Timer(OFTEN if alive else SELDOM),
            state,
        )


def process_html(job: ProcessStatus, say: Say) -> str:
    """Command, status, progress, time left and last message of a process."""
    colour = _COLOURS.get(job.status, "var(--color-accent)")
    status = f'<b style="color:{colour}">{html.escape(say(f"job.{job.status}"))}</b>'
    facts, bar = [format_duration(job.seconds)], ""
    if job.progress and job.alive:
        progress = job.progress
        if progress.total:
            share = min(1.0, progress.done / progress.total)
            facts.append(f"{share:.0%}")
            bar = (
                f'<div role="progressbar" aria-valuenow="{share:.0%}" style="height:8px;margin:4px 0;'
                f'border-radius:4px;overflow:hidden;background:var(--border-color-primary)"><div style="'
                f'height:100%;width:{share:.1%};background:{colour}"></div></div>'
            )
        facts += [progress.stage, format_count(progress)]
        if progress.eta is not None and job.status == RUNNING:
            facts.append(f"{format_duration(progress.eta)} {say('job.left')}")
        facts += [f"{name}={value}" for name, value in progress.numbers.items()]
    lines = [
        f'<code style="overflow-wrap:anywhere">{html.escape(job.command)}</code>',
        " · ".join([status, *(html.escape(fact) for fact in facts if fact)]),
        bar,
        f'<span style="overflow-wrap:anywhere">{html.escape(job.message)}</span>',
    ]
    return "".join(f"<div>{line}</div>" for line in lines if line)


def format_count(progress: ProgressEvent) -> str:
    """Finished units out of all, as "9/20"; bytes with a prefix, as "22.5M/190M"."""
    numbers = [progress.done, *([progress.total] if progress.total else [])]
    return "/".join(tqdm.format_sizeof(n) if progress.unit == "B" else f"{n:.0f}" for n in numbers)


def format_duration(seconds: float) -> str:
    """A duration as 1:02:03 or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
