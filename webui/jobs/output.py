"""Output of a script: its lines of text, and how far it is, from the end of a growing log file."""

from __future__ import annotations

from pathlib import Path

from modules.common.progress import ProgressEvent

_TAIL = 1 << 18  # bytes; some thousand progress events or lines


def read_output(path: Path) -> tuple[list[str], ProgressEvent | None]:
    """Lines of text at the end of a log file, blank ones left out, and the newest progress event."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return [], None
    lines: list[str] = []
    progress = None
    for row in text.split("\n")[1 if size > _TAIL else 0 :]:
        line = row.rstrip().rpartition("\r")[2]  # a carriage return overwrites what was there
        event = ProgressEvent.from_line(line)
        if event:
            progress = event
        elif line:
            lines.append(line)
    return lines, progress
