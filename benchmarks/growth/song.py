"""A conversion, with the chain that needs no download, against the length of the song."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.growth.curves import Growth
from benchmarks.measure import isolated, peak_memory, temporary_folder
from benchmarks.workspace import growing_song, synthetic_song, template_without_downloads, write_model


def measure(minutes: Sequence[int]) -> Growth:
    """Convert songs of these lengths, each in a process of its own."""
    growth = Growth("minutes of song", minutes)
    with temporary_folder() as folder:
        for _, song in growing_song(folder, minutes):
            growth.add(isolated(_convert, song))
    return growth


def _convert(song: Path) -> dict[tuple[str, str], float]:
    from inference.converter import Converter
    from modules.dsp.audio import write_audio

    converter = Converter(write_model(song.parent, template_without_downloads("tiny")))
    short = song.with_name("short.wav")
    write_audio(short, synthetic_song(2.0, 1), 44100)
    converter.convert(short, short.with_suffix(".flac"), "voice")  # what is made once
    idle, began = peak_memory(), time.perf_counter()
    converter.convert(song, song.with_suffix(".flac"), "voice")
    spent = time.perf_counter() - began
    return {("conversion", "s"): spent, ("conversion", "MB"): (peak_memory() - idle) / 2**20}
