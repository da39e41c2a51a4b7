"""Pitch files, melodies and presets as whole files, for readers that are fuzzed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from inference.options import ConvertOptions
from inference.options.preset import preset_path, read_preset, write_preset
from inference.pitch.files import write_f0
from inference.pitch.midi import write_midi
from modules.dsp.notes import MelodyNote


def presets(folder: Path) -> list[Path]:
    return [write_preset("a", ConvertOptions(trans=("auto",), spk_list=("anna",), autotune=0.5), folder)]


def read_preset_at(path: Path) -> None:
    place = preset_path("a", path.parent)
    place.parent.mkdir(parents=True, exist_ok=True)
    path.replace(place)
    read_preset("a", path.parent)


def pitches(folder: Path) -> list[Path]:
    write_f0(folder / "a.csv", np.linspace(60, 400, 200), 86.1)
    (folder / "b.txt").write_text("time;f0\n0.1; 220\n0.2\t300\n0.4 0\n")
    return [folder / "a.csv", folder / "b.txt"]


def melodies(folder: Path) -> list[Path]:
    write_midi(folder / "a.mid", [MelodyNote(i, i + 0.9, 60 + i) for i in range(9)])
    return [folder / "a.mid"]
