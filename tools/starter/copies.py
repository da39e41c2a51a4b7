"""Step 4: the same words in other voices, spoken and sung, as spectra.

Clips of a speaker are joined to pieces of about ten seconds. WORLD analyses each
once and resynthesises it with another pitch and other formants, or with a melody.
Writes WORK/spectra/<speaker>.npz.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from modules.common.cli import entry_point, make_parser
from modules.common.parallel import run
from modules.common.progress import progress_bar
from tools.starter.phones import UNKNOWN

_PIECE = 10 * 16000
_UNIT = 320
SPOKEN, SUNG = 1, 1  # copies of a synthetic piece; recorded ones have twice as many
# pieces of a speaker that are used, by how the name begins
MOST = {
    "kokoro": 60,
    "held": 30,
    "asterisk-en": 150,
    "asterisk": 24,
    "festvox": 150,
    "gcin": 24,
    "flite": 34,
    "espeak": 2,
}
_LARGEST = float(np.log(1.22))  # change of the formants; 1.25 made words less clear


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Make the copies; return the exit code."""
    parser = make_parser(__doc__, prog="python -m tools.starter.copies")
    parser.add_argument("work", type=Path, help="folder for all results")
    parser.add_argument("--most", type=int, help="pieces of a speaker (default: by the kind of voice)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=0, help="0: one per core (%(default)s)")
    args = parser.parse_args(argv)
    folders = sorted(
        (args.work / "speech").iterdir(), key=lambda folder: ("asterisk" not in folder.name, folder.name)
    )
    todo = [folder for folder in folders if not _path(args.work, folder).exists()]
    jobs = [(folder, args.seed + index) for index, folder in enumerate(todo)]
    done = run(partial(_speaker, args.work, args.most), jobs, args.processes)
    for _ in progress_bar(done, total=len(jobs), desc="copies", unit="speaker"):
        pass
    return 0


def kind_of(speaker: str) -> str:
    """Key of :data:`MOST` for the folder of a speaker."""
    return next(kind for kind in MOST if speaker.startswith(kind))


def _path(work: Path, folder: Path) -> Path:
    return work / "spectra" / f"{folder.name}.npz"


def _speaker(work: Path, most: int | None, job: tuple[Path, int]) -> None:
    """Write the spectra of one speaker, given by the folder of the clips and the seed."""
    import torch

    from modules.common.files import replacing
    from vencoder.ppg import PowerMel, pad_frames

    torch.set_num_threads(1)
    folder, seed = job
    rng = np.random.default_rng(seed)
    spectrum, kind = PowerMel(), kind_of(folder.name)
    n_times = 1 if kind == "espeak" else 2
    content = {}
    for number, (audio, classes) in enumerate(islice(_pieces(folder), MOST[kind] if most is None else most)):
        voices = np.stack([audio, *copies(audio, rng, n_times * SPOKEN, n_times * SUNG)])
        n_frames = 2 * len(classes)
        mels = [spectrum(pad_frames(torch.from_numpy(voice))[None])[0, :n_frames] for voice in voices]
        content[f"mel{number}"] = (torch.stack(mels) + 1e-9).log().half().numpy()
        content[f"phones{number}"] = classes
    with replacing(_path(work, folder)) as path, path.open("wb") as file:
        np.savez(file, **content)  # type: ignore[arg-type]


def _pieces(folder: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    from modules.dsp.audio import read_audio

    audios: list[np.ndarray] = []
    classes: list[np.ndarray] = []
    length = 0
    paths = sorted(folder.glob("*.wav"))
    for path in paths:
        audio, _ = read_audio(path, 16000)
        n_units = len(audio) // _UNIT
        known, labels = np.full(n_units, UNKNOWN, np.int16), path.with_suffix(".npy")
        if labels.exists():
            known = np.load(labels, allow_pickle=False)[:n_units]
            n_units = len(known)
        audios.append(audio[: n_units * _UNIT])
        classes.append(known)
        length += n_units * _UNIT
        if length >= _PIECE or (path == paths[-1] and length > _PIECE // 2):
            yield np.concatenate(audios), np.concatenate(classes)
            audios, classes, length = [], [], 0


def copies(audio: np.ndarray, rng: np.random.Generator, n_spoken: int, n_sung: int) -> np.ndarray:
    """Copies (n_spoken + n_sung, T), float32, with the timing of ``audio`` (T,) at 16 kHz."""
    import pyworld

    from modules.dataset.perturb import PERIOD, analyse, stretch_formants

    f0, envelope, aperiodicity = analyse(audio, 16000)
    result = np.zeros((n_spoken + n_sung, len(audio)), np.float32)
    for index, copy in enumerate(result):
        ratio = np.exp(rng.uniform(-_LARGEST, _LARGEST))
        spoken = index < n_spoken
        pitch = f0 * 2 ** (rng.uniform(-6, 6) / 12) if spoken else _melody(len(f0), PERIOD, rng)
        spectra = stretch_formants(envelope, ratio), stretch_formants(aperiodicity, ratio)
        voice = pyworld.synthesize(np.clip(pitch, 60.0, 1000.0), *spectra, 16000, PERIOD)
        copy[:] = voice[: len(copy)]
        peak = float(np.abs(copy).max())
        if peak > 1:
            copy /= peak
    return result


def _melody(n_frames: int, period: float, rng: np.random.Generator) -> np.ndarray:
    """F0 (n_frames,) of notes with vibrato, Hz, every ``period`` ms."""
    centre = rng.uniform(np.log2(110), np.log2(420))
    note = 0.0
    notes: list[float] = []
    while len(notes) < n_frames:
        note = float(np.clip(note + rng.integers(-4, 5), -9, 9))
        notes += [note] * int(rng.integers(15, 80))
    curve = np.convolve(np.pad(notes[:n_frames], 3, mode="edge"), np.ones(7) / 7, mode="valid")
    phase = 2 * np.pi * (rng.uniform(4.5, 6.5) * np.arange(n_frames) * period / 1000 + rng.random())
    return 2 ** (centre + (curve + rng.uniform(0, 0.5) * np.sin(phase)) / 12)


if __name__ == "__main__":
    sys.exit(main())
