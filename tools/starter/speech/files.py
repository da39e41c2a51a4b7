"""The clips in WORK/speech: <source>-<language>-<name>/<clip>-<spoken or sung>.wav.

Each has the rate of its source. Beside it, where the phones are known, lies the class of
every unit (.npy, int16).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from vencoder.ppg import UNITS_PER_SECOND


def n_units(seconds: float) -> int:
    """Number of units of a clip."""
    return max(1, round(UNITS_PER_SECOND * seconds))


@contextmanager
def finished_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder to be made, which becomes ``folder`` if the block succeeds."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = folder.parents[1] / f"{folder.name}.unfinished"
    shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
    yield scratch
    os.replace(scratch, folder)


def write_clip(path: Path, audio: np.ndarray, rate: int, classes: np.ndarray | None) -> None:
    """Write audio (T,), and the class of every unit if known."""
    import soundfile

    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio, rate, "PCM_16")
    if classes is not None:
        np.save(path.with_suffix(".npy"), classes, allow_pickle=False)
