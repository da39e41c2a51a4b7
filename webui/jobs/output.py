"""What a script has said, as lines and as a progress bar: read from the end of a file that grows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_TAIL = 1 << 16  # bytes; some hundred lines
# as tqdm draws them: "name:  45%|###  | 9/20 [00:10<00:12,  1.1s/step, loss=1]", and without a known end
_BAR = re.compile(
    r"^(?:(?P<name>[^|]*?): *)?(?P<percent>\d+)%\|[^|]*\| *"
    r"(?P<done>[\d.]+\w*)/(?P<total>[\d.]+\w*) \[(?P<spent>[\d:]+)<(?P<left>[\d:?]+)(?:, *(?P<more>.*?))?\]?$"
)
_OPEN_BAR = re.compile(
    r"^(?:(?P<name>[^|]*?): *)?(?P<done>\d[\d.]*\w*) \[(?P<spent>[\d:]+)(?:, *(?P<more>.*?))?\]$"
)


@dataclass(frozen=True)
class Bar:
    """A progress bar.

    Attributes:
        name: What it counts.
        share: How much is done, 0 to 1; None where the end is not known.
        count: As "9/20".
        left: Time that is left, as "01:12"; empty if that is not known.
        more: Speed and other numbers, as drawn.
    """

    name: str
    share: float | None
    count: str
    left: str
    more: str


def read_tail(path: Path) -> str:
    """Return the end of a file, from the beginning of a line; empty if there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL))
            content = file.read()
    except OSError:
        return ""
    text = content.decode("utf-8", errors="replace")
    return text.partition("\n")[2] if size > _TAIL and "\n" in text else text


def split_output(text: str) -> tuple[list[str], Bar | None]:
    """Return the lines of ``text`` without progress bars, and the last progress bar."""
    lines: list[str] = []
    bar = None
    for line in text.replace("\r\n", "\n").split("\n"):
        drawn = [piece.rstrip() for piece in line.split("\r")]
        for piece in drawn:
            bar = _parse(piece.strip()) or bar
        spoken = [piece for piece in drawn if piece and not _parse(piece.strip())]
        lines += spoken[-1:]  # a carriage return draws over what was there
    return lines, bar


def last_message(lines: list[str]) -> str:
    """Return the last line that says something."""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _parse(line: str) -> Bar | None:
    line = line.removesuffix("\x1b[A")  # a bar within a bar moves the cursor
    if found := _BAR.match(line):
        left = found["left"]
        return Bar(
            name=found["name"] or "",
            share=min(1.0, int(found["percent"]) / 100),
            count=f"{found['done']}/{found['total']}",
            left="" if "?" in left else left,
            more=found["more"] or "",
        )
    if found := _OPEN_BAR.match(line):
        return Bar(found["name"] or "", None, found["done"], "", found["more"] or "")
    return None
