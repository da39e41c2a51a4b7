"""Losses, validations and audio that a training has written so far, read while it runs."""

from __future__ import annotations

import csv
import io
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

_MAX_POINTS = 600  # of a curve, about one per pixel
_MAX_READ = 20_000  # points that are read
_MAX_AUDIO = 4  # steps of which audio is kept

Curve = list[tuple[int, float]]  # step, value


class RunFolder:
    """Folder of one run, with metrics.csv and TensorBoard's event files once there are any."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def stamp(self) -> str:
        """Text that changes when the run writes something."""
        files = [*self.folder.glob("events.out.tfevents.*"), self.folder / "metrics.csv"]
        status = [path.stat() for path in files if path.is_file()]
        newest = max((s.st_mtime_ns for s in status), default=0)
        return f"{self.folder} {sum(s.st_size for s in status)} {newest}"

    def losses(self) -> dict[str, Curve]:
        """Curves "training" and "validation", thinned; without those that have no points."""
        rows = self.validations()
        training = self._scalars("train/total") or _column(rows, "train_loss")
        curves = {"training": training, "validation": _column(rows, "val_loss")}
        return {name: _thinned(curve) for name, curve in curves.items() if curve}

    def validations(self) -> list[dict[str, str]]:
        """Rows of metrics.csv, the oldest first."""
        try:
            rows = list(
                csv.DictReader((self.folder / "metrics.csv").read_text(encoding="utf-8").splitlines())
            )
        except (OSError, ValueError):
            return []
        return [row for row in rows if (row.get("step") or "").isdecimal()]

    def clips(self) -> list[str]:
        """Numbers of the validation clips that have audio."""
        events = self._events()
        tags = events.Tags()["audio"] if events else []
        found = {tag.split("/")[1] for tag in tags if tag.startswith("audio/")}
        return sorted(found, key=lambda name: (len(name), name))

    def audio(self, clip: str, kind: str) -> tuple[int, int, np.ndarray] | None:
        """Step, sampling rate in Hz and samples (T,) of the newest audio of a clip; None without any.

        The kind is "recorded" or "generated".
        """
        import soundfile

        tag = f"audio/{clip}/{kind}"
        events = self._events()
        if events is None or tag not in events.Tags()["audio"]:
            return None
        event = events.Audio(tag)[-1]
        samples, rate = soundfile.read(io.BytesIO(event.encoded_audio_string), dtype="int16")
        return event.step, rate, samples

    def _scalars(self, tag: str) -> Curve:
        events = self._events()
        if events is None or tag not in events.Tags()["scalars"]:
            return []
        return [(event.step, event.value) for event in events.Scalars(tag)]

    def _events(self) -> Any:
        """TensorBoard's reader, up to date; None without event files."""
        first = min(self.folder.glob("events.out.tfevents.*"), default=None)
        return _reader(self.folder, first).Reload() if first else None


@lru_cache(maxsize=4)  # it reads incrementally
def _reader(folder: Path, first: Path) -> Any:
    """TensorBoard's reader of a run; another ``first`` event file means another run."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    sizes = {"scalars": _MAX_READ, "audio": _MAX_AUDIO, "images": 1, "tensors": 1}
    return EventAccumulator(str(folder), sizes)


def _column(rows: list[dict[str, str]], name: str) -> Curve:
    curve = []
    for row in rows:
        try:
            curve.append((int(row["step"]), float(row[name])))
        except (KeyError, TypeError, ValueError):  # a column of a later version, or an empty cell
            continue
    return curve


def _thinned(curve: Curve) -> Curve:
    """Every n-th point, at most _MAX_POINTS, with the last one."""
    every = -(-len(curve) // _MAX_POINTS)
    return curve[(len(curve) - 1) % every :: every] if curve else []
