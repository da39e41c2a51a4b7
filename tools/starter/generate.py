"""Step 1: synthetic speech with known phones, from espeak-ng and flite.

Writes WORK/speech/<speaker>/<number>.wav at 16 kHz, and beside each the class of
every unit (.npy).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from modules.common.cli import entry_point, make_parser
from modules.common.progress import progress_bar
from modules.dsp.audio import read_audio, resample
from tools.starter import phones
from tools.starter.sentences import random_sentences

RATE = 16000
VARIANTS = """
f1 f2 f3 f4 f5 m1 m2 m3 m4 m5 m6 m7 m8 Alex Alicia Andrea Andy Annie Denis Diogo Gene Gene2 Henrique
Hugo Jacky Lee Marco Mario Michael Mike Nguyen adam anika antonio aunty belinda benjamin boris caleb
david ed edward edward2 grandma grandpa gustave iven iven2 iven3 iven4 john kaukovalta klatt klatt2
klatt3 klatt4 klatt5 klatt6 linda marcelo max michel miguel norbert pablo paul pedro quincy rob robert
sandro shelby steph steph2 steph3 travis victor zac
""".split()
LANGUAGES = ("gmw/en-US", "gmw/en-US", "gmw/en-US", "gmw/en")  # the labels are American
FLITE = {"slt": 1.0, "awb": 1.0, "rms": 1.0, "kal16": 0.5}  # voice, and its share of the minutes


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Generate; return the exit code."""
    parser = make_parser(__doc__, prog="python -m tools.starter.generate")
    parser.add_argument("work", type=Path, help="folder for all results")
    parser.add_argument("--espeak_minutes", type=float, default=60, help="of espeak-ng, in all (%(default)s)")
    parser.add_argument("--flite_minutes", type=float, default=20, help="of each flite voice (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    seconds = 60 * args.espeak_minutes / len(VARIANTS)
    for index, variant in enumerate(progress_bar(VARIANTS, desc="espeak-ng", unit="voice")):
        clips = _espeak(variant, args.seed + index)
        write_voice(args.work / "speech" / f"espeak-{variant}", clips, seconds)
    for index, (voice, part) in enumerate(progress_bar(FLITE.items(), desc="flite", unit="voice")):
        clips = _flite(voice, args.seed + 1000 + index)
        write_voice(args.work / "speech" / f"flite-{voice}", clips, 60 * args.flite_minutes * part)
    return 0


def n_units(audio: np.ndarray) -> int:
    """Number of units of audio (T,) at 16 kHz."""
    return max(1, round(len(audio) / 320))


@contextmanager
def finished_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder, which becomes ``folder`` if the block succeeds."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parents[1]) as scratch:
        yield Path(scratch) / folder.name
        os.replace(Path(scratch) / folder.name, folder)


def write_clip(path: Path, audio: np.ndarray, classes: np.ndarray | None) -> None:
    """Write audio (T,) at 16 kHz, and the class of every unit if known."""
    import soundfile

    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio, RATE, "PCM_16")
    if classes is not None:
        np.save(path.with_suffix(".npy"), classes, allow_pickle=False)


def write_voice(folder: Path, clips: Iterator[tuple[np.ndarray, np.ndarray]], seconds: float) -> None:
    """Write clips (audio at 16 kHz, classes) as folder/<number>.wav and .npy, until there are ``seconds``."""
    done, number = 0.0, 0
    while done < seconds:
        audio, classes = next(clips)
        write_clip(folder / f"{number:04d}.wav", audio, classes)
        done, number = done + len(audio) / RATE, number + 1


def _espeak(variant: str, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    from tools.starter.espeak import load_espeak

    synthesizer = load_espeak()
    rng = np.random.default_rng(seed)
    for text in random_sentences(rng):
        language = str(rng.choice(LANGUAGES))
        speed, pitch, melody = (int(rng.integers(*range_)) for range_ in ((110, 200), (25, 75), (20, 80)))
        audio, spoken = synthesizer.say(text, f"{language}+{variant}", speed, pitch, melody)
        rate = synthesizer.sampling_rate
        ends = np.array([*(start for start, _ in spoken), len(audio)]) / rate
        classes = np.array([0, *(phones.of_espeak(name) for _, name in spoken)])  # it begins with silence
        audio = resample(audio, rate, RATE)
        units = phones.per_unit(ends, classes, n_units(audio))
        yield 0.5 * audio / max(1e-3, float(np.abs(audio).max())), units


def _flite(voice: str, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "speech.wav"
        for text in random_sentences(rng):
            stretch = f"duration_stretch={rng.uniform(0.85, 1.3):.3f}"
            command = ["flite", "-voice", voice, "--setf", stretch, "-psdur", "-t", text, "-o", str(path)]
            run = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", check=True)
            pairs = [part.rsplit(":", 1) for part in run.stdout.split()]
            audio, _ = read_audio(path, RATE)
            ends = np.array([float(end) for _, end in pairs])
            classes = np.array([phones.of_arpabet(name) for name, _ in pairs])
            yield audio, phones.per_unit(ends, classes, n_units(audio))


if __name__ == "__main__":
    sys.exit(main())
