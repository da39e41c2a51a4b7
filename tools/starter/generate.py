"""Step 1: make synthetic speech whose phones are known, from espeak-ng and flite.

Writes WORK/speech/<speaker>/<number>.wav at 16 kHz, and beside each the class of
every unit (.npy).
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from modules.common.cli import entry_point
from tools.starter import phones

RATE = 16000
VARIANTS = """
f1 f2 f3 f4 f5 m1 m2 m3 m4 m5 m6 m7 m8 Alex Alicia Andrea Andy Annie Denis Diogo Gene Gene2 Henrique
Hugo Jacky Lee Marco Mario Michael Mike Nguyen adam anika antonio aunty belinda benjamin boris caleb
david ed edward edward2 grandma grandpa gustave iven iven2 iven3 iven4 john kaukovalta klatt klatt2
klatt3 klatt4 klatt5 klatt6 linda marcelo max michel miguel norbert pablo paul pedro quincy rob robert
sandro shelby steph steph2 steph3 travis victor zac
""".split()
LANGUAGES = ("gmw/en-US", "gmw/en-US", "gmw/en-US", "gmw/en")  # American is what the labels are
FLITE = {"slt": 1.0, "awb": 1.0, "rms": 1.0, "kal16": 0.5}  # voice, and its part of the minutes


def get_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tools.starter.generate")
    parser.add_argument("work", type=Path, help="folder for everything that is made")
    parser.add_argument("--espeak_minutes", type=float, default=60, help="of espeak-ng, in all (%(default)s)")
    parser.add_argument("--flite_minutes", type=float, default=20, help="of each flite voice (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    return parser


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Generate; return the exit code."""
    args = get_parser().parse_args(argv)
    from tqdm import tqdm

    seconds = 60 * args.espeak_minutes / len(VARIANTS)
    for index, variant in enumerate(tqdm(VARIANTS, desc="espeak-ng", unit="voice")):
        _espeak(args.work / "speech" / f"espeak-{variant}", variant, seconds, args.seed + index)
    for index, (voice, part) in enumerate(tqdm(FLITE.items(), desc="flite", unit="voice")):
        seconds = 60 * args.flite_minutes * part
        _flite(args.work / "speech" / f"flite-{voice}", voice, seconds, args.seed + 1000 + index)
    return 0


def write_clip(path: Path, audio: np.ndarray, classes: np.ndarray | None) -> None:
    """Write audio (T,) at 16 kHz, and the class of every unit if it is known."""
    import soundfile

    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio, RATE, "PCM_16")
    if classes is not None:
        np.save(path.with_suffix(".npy"), classes, allow_pickle=False)


def resampled(audio: np.ndarray, sampling_rate: int) -> np.ndarray:
    """Return ``audio`` at 16 kHz."""
    from math import gcd

    from scipy.signal import resample_poly

    common = gcd(sampling_rate, RATE)
    return resample_poly(audio, RATE // common, sampling_rate // common).astype(np.float32)


def _espeak(folder: Path, variant: str, seconds: float, seed: int) -> None:
    from tools.starter.espeak import Espeak
    from tools.starter.sentences import Sentences

    synthesizer = Espeak.get()
    rng = np.random.default_rng(seed)
    sentences = Sentences(rng)
    done, number = 0.0, 0
    while done < seconds:
        language = str(rng.choice(LANGUAGES))
        speed, pitch, melody = (int(rng.integers(*range_)) for range_ in ((110, 200), (25, 75), (20, 80)))
        audio, spoken = synthesizer.say(sentences.next(), f"{language}+{variant}", speed, pitch, melody)
        rate = synthesizer.sampling_rate
        starts = np.array([start for start, _ in spoken]) / rate
        # what is before the first phone is silence
        ends = np.append(starts, len(audio) / rate)
        classes = np.array([0, *(phones.of_espeak(name) for _, name in spoken)])
        audio = resampled(audio, rate)
        units = phones.per_unit(ends, classes, max(1, round(len(audio) / 320)))
        write_clip(folder / f"{number:04d}.wav", 0.5 * audio / max(1e-3, float(np.abs(audio).max())), units)
        done, number = done + len(audio) / RATE, number + 1


def _flite(folder: Path, voice: str, seconds: float, seed: int) -> None:
    import soundfile

    from tools.starter.sentences import Sentences

    rng = np.random.default_rng(seed)
    sentences = Sentences(rng)
    done, number = 0.0, 0
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "speech.wav"
        while done < seconds:
            stretch = f"duration_stretch={rng.uniform(0.85, 1.3):.3f}"
            command = ["flite", "-voice", voice, "--setf", stretch, "-psdur", "-t", sentences.next()]
            run = subprocess.run(
                [*command, "-o", str(path)], stdout=subprocess.PIPE, encoding="utf-8", check=True
            )
            pairs = [part.rsplit(":", 1) for part in run.stdout.split()]
            audio, rate = soundfile.read(path, dtype="float32")
            audio = resampled(audio, rate)
            units = phones.per_unit(
                np.array([float(end) for _, end in pairs]),
                np.array([phones.of_arpabet(name) for name, _ in pairs]),
                max(1, round(len(audio) / 320)),
            )
            write_clip(folder / f"{number:04d}.wav", audio, units)
            done, number = done + len(audio) / RATE, number + 1


if __name__ == "__main__":
    import sys

    sys.exit(main())
