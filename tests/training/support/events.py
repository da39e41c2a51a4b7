"""Reading back what a run wrote for TensorBoard."""

import io
from pathlib import Path

import numpy as np
import soundfile
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


class Events:
    """The event files of a folder."""

    def __init__(self, folder: Path) -> None:
        self._events = EventAccumulator(str(folder))
        self._events.Reload()

    def tags(self, kind: str) -> list[str]:
        return sorted(self._events.Tags()[kind])

    def scalar(self, tag: str) -> list[tuple[int, float]]:
        return [(event.step, event.value) for event in self._events.Scalars(tag)]

    def images(self, tag: str) -> list[tuple[int, bytes]]:
        return [(event.step, event.encoded_image_string) for event in self._events.Images(tag)]

    def audio(self, tag: str) -> list[tuple[int, int, np.ndarray]]:
        """Return step, sampling rate and samples of each sound."""
        found = []
        for event in self._events.Audio(tag):
            samples, rate = soundfile.read(io.BytesIO(event.encoded_audio_string), dtype="float32")
            found.append((event.step, rate, samples))
        return found
