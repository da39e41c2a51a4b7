"""A voice as one track: its clips joined to pieces, with the phones of every unit.

``copies`` and ``teacher`` read the same clips in the same order, so that the unit u of both is
the same sound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from tools.starter.phones import UNKNOWN

RATE, UNIT = 16000, 320  # Hz; samples of a unit
PIECE = 10 * RATE  # samples, at least, unless the voice has no more
# most pieces of one voice, by its source; artificial voices are quickly learnt
MOST = {"kokoro": 60, "held": 30, "asterisk": 150, "festvox": 300, "gcin": 60, "flite": 30, "espeak": 3}


@dataclass(frozen=True, eq=False)
class Track:
    """What training sees of one voice; memory-mapped."""

    speaker: str
    mels: Tensor  # (K, 2 U, 80) log powers, float16; the first copy is the original
    phones: Tensor  # (U,) classes, int16
    bounds: Tensor  # (P + 1,) units at which the pieces begin, and U; each has its own voices
    teacher: Tensor | None  # (U, C), float16

    @property
    def source(self) -> str:
        """Key of MOST."""
        return self.speaker.split("-")[0]

    @property
    def language(self) -> str:
        """Two letters."""
        return self.speaker.split("-")[1]


def voices(work: Path) -> list[Path]:
    """Folders of the finished voices, sorted."""
    return sorted(folder for folder in (work / "speech").glob("*") if folder.name.split("-")[0] in MOST)


def spectra_path(work: Path, speaker: str) -> Path:
    """File of the copies of a voice."""
    return work / "spectra" / f"{speaker}.safetensors"


def teacher_path(work: Path, speaker: str) -> Path:
    """File of the teacher's units of a voice."""
    return work / "teacher" / f"{speaker}.safetensors"


def write_tensors(path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, str] | None = None) -> None:
    """Write a file, with notes, whole or not at all."""
    from safetensors.torch import save_file

    from modules.common.files import replacing

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as target:
        save_file(dict(tensors), target, dict(notes or {}))


def read_track(work: Path, speaker: str) -> Track | None:
    """The track of a voice, without the teacher's units if they are missing; None without spectra."""
    from safetensors.torch import load_file

    if not (path := spectra_path(work, speaker)).exists():
        return None
    taught = teacher_path(work, speaker)
    teacher = load_file(taught)["units"] if taught.exists() else None
    return Track(speaker, **load_file(path), teacher=teacher)


def pieces(folder: Path, most: int | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield pieces (T,) at 16 kHz of a voice, and the classes (T / 320,) of their units."""
    from modules.dsp.audio import read_audio

    audios: list[np.ndarray] = []
    classes: list[np.ndarray] = []
    length = n_done = 0
    paths = sorted(folder.glob("*.wav"))
    most = MOST[folder.name.split("-")[0]] if most is None else most
    for path in paths:
        audio, _ = read_audio(path, RATE)
        n_units, labels = len(audio) // UNIT, path.with_suffix(".npy")
        known = np.full(n_units, UNKNOWN, np.int16)
        if labels.exists():
            found = np.load(labels, allow_pickle=False)[:n_units]
            known[: len(found)] = found
        audios.append(audio[: n_units * UNIT])
        classes.append(known)
        length += n_units * UNIT
        is_last = path == paths[-1] and (length > PIECE // 2 or not n_done)
        if n_done < most and (length >= PIECE or is_last):
            yield np.concatenate(audios), np.concatenate(classes)
            audios, classes, length, n_done = [], [], 0, n_done + 1


def for_each_voice(
    work: Path, path_of: Callable[[Path, str], Path], job: Callable[[Path], None], processes: int, name: str
) -> None:
    """Run ``job`` for the folder of each voice whose file is missing."""
    from modules.common.parallel import run
    from modules.common.progress import progress_bar

    todo = [folder for folder in voices(work) if not path_of(work, folder.name).exists()]
    for _ in progress_bar(run(job, todo, processes), total=len(todo), desc=name, unit="voice"):
        pass
