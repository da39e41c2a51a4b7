"""Panel for a running script: progress, time left, output, and buttons to pause and stop it."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from tqdm import tqdm

from modules.common.progress import ProgressEvent
from webui.context import Context
from webui.jobs.processes import FAILED, PAUSED, RUNNING, STOPPING, ProcessStatus, ScriptProcess
from webui.language import Say, in_language

OFTEN, SELDOM = 1.5, 8.0  # s between two updates, while a script runs and while none does
_COLOURS = {FAILED: "var(--error-icon-color, #b91c1c)", PAUSED: "var(--body-text-color-subdued)"}


class Panel:
    """Status of the running or newest process of one kind."""

    def __init__(self, context: Context, kind: str) -> None:
        self.context, self.process = context, ScriptProcess(context.root, kind)
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
        self.timer, self._seen = gr.Timer(1.0), gr.State("")
        self._refresh_on(self.timer.tick, concurrency_limit=None)
        for button, action in (
            (self.pause, self.process.pause),
            (self.resume, self.process.resume),
            (self.stop, self.process.stop),
        ):
            self._refresh_on(context.on(button.click, action).then)

    def starts(
        self, button: gr.Button, script: str, arguments: Callable[..., list[str]], inputs: Sequence[Any] = ()
    ) -> None:
        """Let ``button`` start a script with the ``arguments`` for the values of ``inputs``."""

        def start(*values: Any) -> None:
            self.process.start(script, arguments(*values))

        self._refresh_on(self.context.on(button.click, start, list(inputs)).success)

    def _refresh_on(self, trigger: Callable[..., Any], **settings: Any) -> None:
        shown = [self.status, self.folded, self.output, self.pause, self.resume, self.stop]
        outputs = [*shown, self.timer, self._seen]
        self.context.on(trigger, self.refresh, self._seen, outputs, show_progress="hidden", **settings)

    def refresh(self, seen: str, request: gr.Request) -> Any:
        """Update the components, if anything has changed since ``seen``."""
        job = self.process.status()
        say = in_language(request)
        state = f"{job.status} {process_html(job, say)} {job.output}" if job else "nothing"
        if state == seen:
            return gr.skip()
        if job and job.status == FAILED and seen.startswith((RUNNING, STOPPING)):
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
