"""Peak memory of a conversion, for songs of 1, 10 and 60 minutes."""

from __future__ import annotations

from pathlib import Path

from benchmarks.measure import isolated, peak_memory, table, temporary_folder
from benchmarks.workspace import growing_song, template_without_downloads, write_model

MINUTES = (1, 10, 60)


def main() -> None:
    """Convert each length in a process of its own; print its peak, and that over the idle process."""
    rows = []
    with temporary_folder() as folder:
        for minutes, song in growing_song(folder, MINUTES):
            highest, idle = isolated(_convert, song)
            rows.append([f"{minutes} min", f"{highest / 2**20:.0f} MB", f"{(highest - idle) / 2**20:.0f} MB"])
    table(["song", "peak memory", "over the idle process"], rows)


def _convert(song: Path) -> tuple[int, int]:
    """Peak of a conversion, and of the process before it, bytes."""
    from inference.converter import Converter

    converter = Converter(write_model(song.parent, template_without_downloads("tiny")))
    idle = peak_memory()
    converter.convert(song, song.with_suffix(".flac"), "voice")
    return peak_memory(), idle
