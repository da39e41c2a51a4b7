"""What a training has written so far: losses, validations and sounds, read while it goes on."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

_MOST_POINTS = 600  # of a curve: about what a picture has pixels for
_KEPT = 20_000  # points that are read
_SOUNDS = 4  # steps of which a sound is kept

Curve = list[tuple[int, float]]  # step, value


class RunFolder:
    """The folder of one run.

    Args:
        folder: With metrics.csv and TensorBoard's event files, once there are any.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def stamp(self) -> str:
        """Return a text that changes when the run writes something."""
        files = [*self.folder.glob("events.out.tfevents.*"), self.folder / "metrics.csv"]
        status = [path.stat() for path in files if path.is_file()]
        newest = max((s.st_mtime_ns for s in status), default=0)
        return f"{self.folder} {sum(s.st_size for s in status)} {newest}"

    def losses(self) -> dict[str, Curve]:
        """Return the curves "training" and "validation", thinned; without points they are not there."""
        rows = self.validations()
        training = self._scalars("train/total") or _column(rows, "train_loss")
        curves = {"training": training, "validation": _column(rows, "val_loss")}
        return {name: _thinned(curve) for name, curve in curves.items() if curve}

    def validations(self) -> list[dict[str, str]]:
        """Return the rows of metrics.csv, the oldest first."""
        try:
            rows = list(
                csv.DictReader((self.folder / "metrics.csv").read_text(encoding="utf-8").splitlines())
            )
        except (OSError, ValueError):
            return []
        return [row for row in rows if (row.get("step") or "").isdecimal()]

    def clips(self) -> list[str]:
        """Return the numbers of the validation clips that there are sounds of."""
        found = {tag.split("/")[1] for tag in self._tags("audio") if tag.startswith("audio/")}
        return sorted(found, key=lambda name: (len(name), name))

    def sound(self, clip: str, kind: str) -> tuple[int, int, np.ndarray] | None:
        """Return (step, sampling rate in Hz, samples (T,)) of the newest sound of a clip.

        Args:
            clip: Of :meth:`clips`.
            kind: "recorded" or "generated".
        """
        import soundfile

        tag = f"audio/{clip}/{kind}"
        with _events(self.folder).reading() as events:
            if events is None or tag not in events.Tags()["audio"]:
                return None
            event = events.Audio(tag)[-1]
        samples, rate = soundfile.read(io.BytesIO(event.encoded_audio_string), dtype="int16")
        return event.step, rate, samples

    def _scalars(self, tag: str) -> Curve:
        with _events(self.folder).reading() as events:
            if events is None or tag not in events.Tags()["scalars"]:
                return []
            return [(event.step, event.value) for event in events.Scalars(tag)]

    def _tags(self, kind: str) -> list[str]:
        with _events(self.folder).reading() as events:
            return events.Tags()[kind] if events else []


class _Events:
    """TensorBoard's event files of one folder, read by one thread at a time, each line once."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, threading.Lock()
        self._files: set[Path] = set()
        self._reader: Any = None

    @contextmanager
    def reading(self) -> Iterator[Any]:
        """Yield TensorBoard's reader, up to date; None while there is nothing to read."""
        with self._lock:
            files = set(self._folder.glob("events.out.tfevents.*"))
            if not self._files <= files:  # what it has read is gone: another run now
                self._reader = None
            if files and self._reader is None:
                from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

                kept = {"scalars": _KEPT, "audio": _SOUNDS, "images": 1, "tensors": 1}
                self._reader = EventAccumulator(str(self._folder), kept)
            self._files = files
            yield self._reader.Reload() if self._reader else None


_events = lru_cache(maxsize=4)(_Events)  # they go on reading where they were, so they are kept


def _column(rows: list[dict[str, str]], name: str) -> Curve:
    curve = []
    for row in rows:
        try:
            curve.append((int(row["step"]), float(row[name])))
        except (KeyError, TypeError, ValueError):  # an older table, or a number that a validation lacks
            continue
    return curve


def _thinned(curve: Curve) -> Curve:
    """Return at most so many points, the last one among them."""
    every = -(-len(curve) // _MOST_POINTS)
    return curve[(len(curve) - 1) % every :: every] if curve else []
