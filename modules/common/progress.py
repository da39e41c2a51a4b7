"""Progress bars, for people or as JSON lines for another program.

With ``GLOW_SVC_PROGRESS=json`` in the environment every bar becomes lines on
stderr, each a :class:`ProgressEvent` as one JSON object; webui/jobs reads them.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from tqdm import tqdm

VARIABLE = "GLOW_SVC_PROGRESS"


@dataclass(frozen=True, kw_only=True)
class ProgressEvent:
    """How far a stage of a script is; None is not known."""

    stage: str  # what is being done, for people
    done: float  # units
    total: float | None
    unit: str  # such as "clip"
    eta: float | None  # seconds that are left
    numbers: dict[str, str] = field(default_factory=dict)  # further figures by name, such as losses

    def to_line(self) -> str:
        """JSON object in one line."""
        return json.dumps({"progress": asdict(self)}, ensure_ascii=False)

    @classmethod
    def from_line(cls, line: str) -> ProgressEvent | None:
        """Parse a line of a script's output; None if it is not a progress event."""
        if not line.startswith('{"progress":'):
            return None
        try:
            return cls(**json.loads(line)["progress"])
        except (ValueError, TypeError, KeyError):
            return None


class _JsonLines(tqdm):
    """A tqdm bar whose every refresh is a JSON line on stderr."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._last = ""
        self._numbers: dict[str, str] = {}
        hidden = bool(kwargs.get("disable"))  # None, for tqdm: without a terminal
        super().__init__(*args, **{**kwargs, "disable": hidden, "file": io.StringIO()})  # tqdm draws nowhere

    def set_postfix(self, ordered_dict: Any = None, refresh: bool | None = True, **kwargs: Any) -> None:
        self._numbers = {key: str(value) for key, value in {**(ordered_dict or {}), **kwargs}.items()}
        super().set_postfix(ordered_dict, refresh, **kwargs)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        now = self.format_dict
        done, total = now["n"], now["total"]
        rate = now["rate"] or ((done - now["initial"]) / now["elapsed"] if now["elapsed"] else 0)
        eta = max(0.0, (total - done) / rate) if total and rate else None
        line = ProgressEvent(
            stage=now["prefix"].removesuffix(": "),
            done=done,
            total=total,
            unit=now["unit"],
            eta=None if eta is None else round(eta, 1),
            numbers=self._numbers,
        ).to_line()
        if line != self._last:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()
            self._last = line


def progress_bar(iterable: Any = None, /, **options: Any) -> tqdm:
    """Progress bar with the arguments and methods of tqdm; disappears when it is done unless ``leave``."""
    bar = _JsonLines if os.environ.get(VARIABLE) == "json" else tqdm
    return bar(iterable, **{"leave": False, **options})


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Show on a terminal, or as JSON, that a step of unknown length is under way."""
    with progress_bar(total=1, desc=name, unit="step", bar_format="{desc} ...", disable=None) as bar:
        yield
        bar.update()


@contextmanager
def seconds_bar(name: str) -> Iterator[Callable[[float, float], None]]:
    """Progress bar over seconds of sound; yields the function to call with (seconds done, seconds in all).

    While the total is not known, it is 0.
    """
    layout = "{desc}: {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} s, {remaining} left"
    with progress_bar(desc=name, unit="s", bar_format=layout) as bar:

        def show(done: float, total: float) -> None:
            bar.total = max(1, round(total)) if total else None
            bar.update(round(done) - bar.n)

        yield show
