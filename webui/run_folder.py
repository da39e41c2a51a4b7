"""What a training has written so far: losses, validations and sounds, read while it goes on."""

from __future__ import annotations

import csv
import io
import threading
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

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
        self._lock = threading.Lock()  # an accumulator is not made for several threads

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
        with self._lock:
            accumulator = self._events()
            if accumulator is None or tag not in accumulator.Tags()["audio"]:
                return None
            event = accumulator.Audio(tag)[-1]
        samples, rate = soundfile.read(io.BytesIO(event.encoded_audio_string), dtype="int16")
        return event.step, rate, samples

    def _scalars(self, tag: str) -> Curve:
        with self._lock:
            accumulator = self._events()
            if accumulator is None or tag not in accumulator.Tags()["scalars"]:
                return []
            return [(event.step, event.value) for event in accumulator.Scalars(tag)]

    def _tags(self, kind: str) -> list[str]:
        with self._lock:
            accumulator = self._events()
            return accumulator.Tags()[kind] if accumulator else []

    def _events(self):  # noqa: ANN202 - TensorBoard is imported late
        """Return TensorBoard's reader, up to date; None while there is nothing to read."""
        if not any(self.folder.glob("events.out.tfevents.*")):
            return None
        accumulator = _accumulator(self.folder)
        accumulator.Reload()
        return accumulator


@lru_cache(maxsize=4)  # it goes on reading where it was, so it is kept
def _accumulator(folder: Path):  # noqa: ANN202
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder), {"scalars": _KEPT, "audio": _SOUNDS, "images": 1, "tensors": 1})


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
