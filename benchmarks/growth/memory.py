"""Peak memory of a conversion, for songs of 1, 10 and 60 minutes."""

from __future__ import annotations

from pathlib import Path

from benchmarks.measure import isolated, peak_memory, table, temporary_folder
from benchmarks.workspace import synthetic_song, template_without_downloads, write_model

MINUTES = (1, 10, 60)


def main() -> None:
    """Convert each length in a process of its own; print its peak, and that over the idle process."""
    import soundfile

    rows, minute = [], synthetic_song(60.0, 5)
    with temporary_folder() as folder:
        song = folder / "song.wav"
        for minutes in MINUTES:
            with soundfile.SoundFile(song, "w", 44100, 1, "PCM_16") as file:
                for _ in range(minutes):
                    file.write(minute)
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
