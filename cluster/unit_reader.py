"""The units of a data set, as preprocess_hubert_f0.py wrote them beside the clips."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from modules.common.errors import FeatureError
from modules.common.progress import progress_bar
from modules.common.text import normalize_name
from modules.dataset.feature_record import FeatureRecord, failed
from modules.dataset.features import load_units
from modules.dsp.audio import find_audio

T = TypeVar("T", str, int)
_BATCH = 32768  # frames; 100 MB of 768 channels


class Frames(Protocol):
    """Unit frames (n, D) that need not be in memory at once."""

    @property
    def n_frames(self) -> int: ...  # noqa: D102

    def batches(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield all frames in their order, as (number of the first, frames (m, D))."""

    def pick(self, numbers: np.ndarray) -> np.ndarray:
        """Frames (m, D) of ascending ``numbers``."""


class ArrayFrames:
    """Frames (n, D) in memory."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    @property
    def n_frames(self) -> int:  # noqa: D102
        return len(self.values)

    def batches(self) -> Iterator[tuple[int, np.ndarray]]:  # noqa: D102
        for begin in range(0, len(self.values), _BATCH):
            yield begin, self.values[begin : begin + _BATCH]

    def pick(self, numbers: np.ndarray) -> np.ndarray:  # noqa: D102
        return self.values[numbers]


class SpeakerUnits:
    """The units of one speaker's clips, read from disk each time they are used.

    The perturbed copies that some encoders have beside a clip are left out: they
    are the clip in other voices. Clips that step 3 could not use are left out too.
    The speaker has the folder's name. ``encoder`` and ``weights``, which tells its file from others, are
    empty if the clips' records do not name them.

    Raises:
        FeatureError: The folder is missing or holds no usable clip, units are missing or broken, or
            not all are of one encoder.
    """

    def __init__(self, folder: Path) -> None:
        self.name = normalize_name(folder.name)
        if not folder.is_dir():  # its name may be written in another form
            same = [other for other in folder.parent.glob("*/") if normalize_name(other.name) == self.name]
            folder = same[0] if same else folder
        if not folder.is_dir():
            raise FeatureError(f"there is no folder {folder} for the speaker {folder.name!r}")
        wavs = find_audio(folder)
        if not wavs:
            raise FeatureError(
                f"the folder {folder} is empty: no recordings of {folder.name!r}; "
                "put some there and run preprocess_hubert_f0.py, or remove the folder"
            )
        self._wavs = [wav for wav in wavs if not failed(wav)]
        if not self._wavs:
            raise FeatureError(f"no recording in {folder} could be used by preprocess_hubert_f0.py")
        bar = progress_bar(self._wavs, desc=f"reading {self.name}", unit="clip")
        shapes = [tuple(load_units(wav).shape) for wav in bar]
        made = [FeatureRecord.load(wav).made.get("units", {}) for wav in self._wavs]
        settings = [units.get("settings", {}) for units in made]
        encoders = [str(made_with.get("encoder", "")) for made_with in settings]
        self.encoder = _common(self._wavs, encoders, "made with the encoder")
        weights = [str(made_with.get("encoder_weights", "")) for made_with in settings]
        self.weights = _common(self._wavs, weights, "made with the encoder file")
        self.ssl_dim = _common(self._wavs, [dims for dims, _ in shapes], "units of channels:")
        self._ends = np.cumsum([n_frames for _, n_frames in shapes])

    @property
    def n_frames(self) -> int:  # noqa: D102
        return int(self._ends[-1])

    def batches(self) -> Iterator[tuple[int, np.ndarray]]:  # noqa: D102
        begin = n_held = 0
        held: list[np.ndarray] = []
        for wav in self._wavs:
            held.append(_read(wav))
            n_held += len(held[-1])
            if n_held >= _BATCH:
                yield begin, np.concatenate(held)
                begin, n_held, held = begin + n_held, 0, []
        if held:
            yield begin, np.concatenate(held)

    def pick(self, numbers: np.ndarray) -> np.ndarray:  # noqa: D102
        picked = np.empty((len(numbers), self.ssl_dim), np.float32)
        places = np.searchsorted(numbers, np.concatenate([[0], self._ends]))
        begins = np.concatenate([[0], self._ends[:-1]])
        for wav, first, last, begin in zip(self._wavs, places[:-1], places[1:], begins, strict=True):
            if last > first:
                picked[first:last] = _read(wav)[numbers[first:last] - begin]
        return picked


def sample(frames: Frames, n: int, seed: int = 0) -> np.ndarray:
    """``n`` of the frames, or all, drawn evenly; in their order."""
    total = frames.n_frames
    numbers = np.arange(total) if n >= total else np.random.default_rng(seed).choice(total, n, False)
    return frames.pick(np.sort(numbers))


def speaker_folders(root: Path) -> list[Path]:
    """Speakers' folders of a data set, sorted; raises FeatureError if there are none."""
    if not root.is_dir():
        raise FeatureError(f"there is no folder {root}; resample.py makes it")
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not folders:
        raise FeatureError(f"{root} holds no speaker's folder; resample.py makes them")
    return folders


def check_same(units: Iterable[SpeakerUnits]) -> None:
    """Refuse speakers whose units are of different encoders or widths; raises FeatureError."""
    first, *others = units
    for other in others:
        if (other.encoder, other.ssl_dim) != (first.encoder, first.ssl_dim):
            raise FeatureError(
                f"the units of {first.name!r} are of {first.encoder or 'an unknown encoder'} "
                f"({first.ssl_dim} channels), those of {other.name!r} of "
                f"{other.encoder or 'an unknown encoder'} ({other.ssl_dim}); "
                "run preprocess_hubert_f0.py again"
            )


def _read(wav: Path) -> np.ndarray:
    return np.ascontiguousarray(load_units(wav).numpy().T)


def _common(wavs: list[Path], facts: list[T], what: str) -> T:
    for wav, fact in zip(wavs, facts, strict=True):
        if fact != facts[0]:
            raise FeatureError(
                f"not all units are alike: {wavs[0]}, {what} {facts[0] or 'unknown'}; "
                f"{wav}, {what} {fact or 'unknown'}. Run preprocess_hubert_f0.py again"
            )
    return facts[0]
