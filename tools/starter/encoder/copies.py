"""Step 1: the same words in other voices, spoken and sung, as spectra.

Clips of a speaker are joined to pieces of about ten seconds. WORLD analyses each
once and resynthesises it with another pitch and other formants, or with a melody.
Writes WORK/spectra/<speaker>.safetensors.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from modules.common.cli import entry_point, make_parser
from tools.starter.encoder.tracks import RATE, for_each_voice, pieces, spectra_path, write_tensors

# copies of a piece, spoken and sung; there are few recorded voices
NUMBERS = {"asterisk": (2, 2), "festvox": (2, 1), "gcin": (2, 2), "flite": (1, 1), "espeak": (1, 0)}
_OTHERS = (1, 1)
_LARGEST = float(np.log(1.22))  # change of the formants; 1.25 made words less clear


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Make the copies; return the exit code."""
    parser = make_parser(__doc__, prog="python -m tools.starter.encoder.copies")
    parser.add_argument("work", type=Path, help="folder for all results")
    parser.add_argument("--most", type=int, help="pieces of a speaker (default: by the kind of voice)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=0, help="0: one per core (%(default)s)")
    args = parser.parse_args(argv)
    job = partial(_speaker, args.work, args.most, args.seed)
    for_each_voice(args.work, spectra_path, job, args.processes, "copies")
    return 0


def _speaker(work: Path, most: int | None, seed: int, folder: Path) -> None:
    """Write the spectra of the voice in ``folder``."""
    import torch

    from vencoder.ppg import PowerMel, pad_frames

    rng = np.random.default_rng([seed, zlib.crc32(folder.name.encode())])
    spectrum = PowerMel()
    numbers = NUMBERS.get(folder.name.split("-")[0], _OTHERS)
    mels, phones, bounds = [], [], [0]
    for audio, classes in pieces(folder, most):
        made = np.stack([audio, *copies(audio, rng, *numbers)])
        power = [spectrum(pad_frames(torch.from_numpy(voice))[None])[0, : 2 * len(classes)] for voice in made]
        mels.append((torch.stack(power) + 1e-9).log().half())
        phones.append(torch.from_numpy(classes))
        bounds.append(bounds[-1] + len(classes))
    content = {"mels": torch.cat(mels, 1), "phones": torch.cat(phones), "bounds": torch.tensor(bounds)}
    write_tensors(spectra_path(work, folder.name), content)


def copies(audio: np.ndarray, rng: np.random.Generator, n_spoken: int, n_sung: int) -> np.ndarray:
    """Copies (n_spoken + n_sung, T), float32, with the timing of ``audio`` (T,) at 16 kHz."""
    import pyworld

    from modules.dataset.perturb import PERIOD, analyse, stretch_formants

    f0, envelope, aperiodicity = analyse(audio, RATE)
    result = np.zeros((n_spoken + n_sung, len(audio)), np.float32)
    for index, copy in enumerate(result):
        ratio = np.exp(rng.uniform(-_LARGEST, _LARGEST))
        spoken = index < n_spoken
        pitch = f0 * 2 ** (rng.uniform(-6, 6) / 12) if spoken else _melody(len(f0), PERIOD, rng)
        spectra = stretch_formants(envelope, ratio), stretch_formants(aperiodicity, ratio)
        voice = pyworld.synthesize(np.clip(pitch, 60.0, 1000.0), *spectra, RATE, PERIOD)
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
