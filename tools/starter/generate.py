"""Step 1: synthetic speech with known phones, from espeak-ng and flite.

Writes WORK/speech/espeak-<language>-<variant> and flite-en-<voice>.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path

import numpy as np

from modules.common.cli import entry_point, make_parser
from modules.common.progress import progress_bar
from modules.dsp.audio import read_audio
from tools.starter import phones
from tools.starter.speech.espeak import VOICES, load_espeak
from tools.starter.speech.files import finished_folder, n_units, write_clip
from tools.starter.speech.texts import random_sentences

Clip = tuple[np.ndarray, int, np.ndarray]  # audio (T,), its rate, classes (U,)
VARIANTS = """
f1 f2 f3 f4 f5 m1 m2 m3 m4 m5 m6 m7 m8 Alex Alicia Andrea Andy Annie Denis Diogo Gene Gene2 Henrique
Hugo Jacky Lee Marco Mario Michael Mike Nguyen adam anika antonio aunty belinda benjamin boris caleb
david ed edward edward2 grandma grandpa gustave iven iven2 iven3 iven4 john kaukovalta klatt klatt2
klatt3 klatt4 klatt5 klatt6 linda marcelo max michel miguel norbert pablo paul pedro quincy rob robert
sandro shelby steph steph2 steph3 travis victor zac
""".split()
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
    languages = cycle(VOICES)
    for index, variant in enumerate(progress_bar(VARIANTS, desc="espeak-ng", unit="voice")):
        language = next(languages)
        clips = _espeak(variant, language, args.seed + index)
        write_voice(args.work / "speech" / f"espeak-{language}-{variant}", clips, seconds)
    for index, (voice, part) in enumerate(progress_bar(FLITE.items(), desc="flite", unit="voice")):
        clips = _flite(voice, args.seed + 1000 + index)
        write_voice(args.work / "speech" / f"flite-en-{voice}", clips, 60 * args.flite_minutes * part)
    return 0


def write_voice(folder: Path, clips: Iterator[Clip], seconds: float) -> None:
    """Write clips as folder/<number>-spoken.wav, until there are ``seconds``, unless a previous run has."""
    if folder.is_dir():
        return
    done, number = 0.0, 0
    with finished_folder(folder) as scratch:
        while done < seconds:
            audio, rate, classes = next(clips)
            write_clip(scratch / f"{number:04d}-spoken.wav", audio, rate, classes)
            done, number = done + len(audio) / rate, number + 1


def _espeak(variant: str, language: str, seed: int) -> Iterator[Clip]:
    synthesizer = load_espeak()
    rng = np.random.default_rng(seed)
    for text in random_sentences(rng, language):
        speed, pitch, melody = (int(rng.integers(*range_)) for range_ in ((110, 200), (25, 75), (20, 80)))
        audio, spoken = synthesizer.say(text, f"{VOICES[language]}+{variant}", speed, pitch, melody)
        rate = synthesizer.sampling_rate
        ends = np.array([*(start for start, _ in spoken), len(audio)]) / rate
        classes = np.array([0, *(phones.of_ipa(name) for _, name in spoken)])  # it begins with silence
        units = phones.per_unit(ends, classes, n_units(len(audio) / rate))
        yield 0.5 * audio / max(1e-3, float(np.abs(audio).max())), rate, units


def _flite(voice: str, seed: int) -> Iterator[Clip]:
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "speech.wav"
        for text in random_sentences(rng):
            stretch = f"duration_stretch={rng.uniform(0.85, 1.3):.3f}"
            command = ["flite", "-voice", voice, "--setf", stretch, "-psdur", "-t", text, "-o", str(path)]
            run = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", check=True)
            pairs = [part.rsplit(":", 1) for part in run.stdout.split()]
            audio, rate = read_audio(path)
            ends = np.array([float(end) for _, end in pairs])
            classes = np.array([phones.of_arpabet(name) for name, _ in pairs])
            yield audio, rate, phones.per_unit(ends, classes, n_units(len(audio) / rate))


if __name__ == "__main__":
    sys.exit(main())
