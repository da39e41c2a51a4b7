"""Step 3: a neural synthesizer speaks and sings in eight languages, in voices between its own.

Rule-based and statistical synthesizers sound alike, and a network that is trained on
them alone is worse on natural speech. Kokoro sounds natural, and its voice is a
vector, so that any number of voices can be interpolated. Its graph gives the times of
phones. Writes WORK/speech/kokoro-<language>-<number>, and held-..., of voices that no
training may use; run it again to continue.

The model and what turns texts into its alphabet come from PyPI (requirements-starter.txt),
the vectors from npm's package kokoro-js, the sentences from Debian's fortunes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from modules.common.cli import entry_point, make_parser
from modules.common.errors import ConfigError
from modules.common.parallel import run
from modules.common.progress import progress_bar
from tools.starter import phones
from tools.starter.speech.files import finished_folder, n_units, write_clip
from tools.starter.speech.letters import letters
from tools.starter.speech.singing import sung
from tools.starter.speech.synthesizer import FRAME, RATE, load_kokoro, timed, with_pauses
from tools.starter.speech.texts import LANGUAGES, texts
from vencoder.ppg import UNITS_PER_SECOND

_STYLE = 256  # values: the first half is the timbre, the second how it is said
SHARES = {
    "en": 0.25,
    "zh": 0.295,
    "ja": 0.125,
    "es": 0.066,
    "fr": 0.066,
    "it": 0.066,
    "pt": 0.066,
    "hi": 0.066,
}
SUNG = 0.6  # of the time
LONGEST = 24.0  # s of a clip
MARGIN = 7  # units of silence around a clip
LEVEL, PEAK = 0.08, 0.9  # RMS of what is within 42 dB of the peak, and the highest peak
# voices that no training hears, nor their styles in a mix: two styles, and the share of the second
HELD = {
    "en-000": ("am_eric", "bm_lewis", 0.475),
    "en-001": ("bf_lily", "am_fenrir", 0.149),
    "en-002": ("bf_isabella", "af_jessica", 0.118),
    "zh-000": ("zf_xiaoyi", "zf_xiaoyi", 0.0),
    "ja-000": ("jf_nezumi", "jf_nezumi", 0.0),
}


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Generate; return the exit code."""
    parser = make_parser(__doc__, prog="python -m tools.starter.kokoro")
    parser.add_argument("work", type=Path, help="folder for all results")
    parser.add_argument("--styles", type=Path, required=True, help="folder package/voices of kokoro-js")
    parser.add_argument("--voices", type=int, default=240, help="number of voices (%(default)s)")
    parser.add_argument("--seconds", type=float, default=80, help="of each (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=0, help="0: one per core (%(default)s)")
    args = parser.parse_args(argv)
    styles = read_styles(args.styles)
    names = [f"held-{name}" for name in HELD] + voice_names(args.voices)
    todo = [name for name in names if not (args.work / "speech" / name).is_dir()]
    done = run(partial(_perform, args.work / "speech", styles, args.seconds, args.seed), todo, args.processes)
    for _ in progress_bar(done, total=len(todo), desc="kokoro", unit="voice"):
        pass
    return 0


def voice_names(count: int) -> list[str]:
    """Names of ``count`` voices, in an order in which every language has its share all along."""
    made = dict.fromkeys(LANGUAGES, 0)
    names = []
    for _ in range(count):
        language = min(made, key=lambda name: (made[name] + 1) / SHARES[name])
        names.append(f"kokoro-{language}-{made[language]:03d}")
        made[language] += 1
    return names


def read_styles(folder: Path) -> dict[str, np.ndarray]:
    """Kokoro's voices (510, 256), for every number of letters; raises ConfigError if there are none."""
    paths = sorted(folder.glob("*.bin"))
    if len(paths) < 2:
        raise ConfigError(
            f"{folder} has no voices of Kokoro; npm pack kokoro-js@1.2.1, unpack it, "
            "and name its folder package/voices"
        )
    return {path.stem: np.fromfile(path, np.float32).reshape(-1, _STYLE) for path in paths}


@dataclass(frozen=True, eq=False)
class KokoroVoice:
    """A voice between some of Kokoro's."""

    style: np.ndarray  # (510, 256)
    british: bool  # speaks British English

    @classmethod
    def held(cls, styles: dict[str, np.ndarray], name: str) -> KokoroVoice:
        """One of those that no training hears."""
        one, other, share = HELD[name]
        return cls(_between(styles[one], styles[other], share), one.startswith("b"))

    @classmethod
    def between(cls, styles: dict[str, np.ndarray], language: str, rng: np.random.Generator) -> KokoroVoice:
        """Draw a speaker of the language, and a timbre that is less its own than that of any others."""
        kept_back = {name for held in HELD.values() for name in held[:2]}
        names = [name for name in sorted(styles) if name not in kept_back]
        natives = [name for name in names if name[0] in _LETTERS.get(language, language[0])]
        native = natives[rng.integers(len(natives))]
        first, second = (names[index] for index in rng.integers(len(names), size=2))
        if rng.random() < 0.5:
            first = native
        timbre = _between(styles[first], styles[second], rng.uniform(0, 0.5))
        manner = _between(styles[native], styles[natives[rng.integers(len(natives))]], rng.uniform(0, 0.5))
        half = _STYLE // 2
        return cls(np.hstack([timbre[:, :half], manner[:, half:]]), native.startswith("b"))


_LETTERS = {"en": "ab"}  # with which names of voices begin; others with that of the language


def _between(one: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    return ((1 - share) * one + share * other).astype(np.float32)


def clips(
    voice: KokoroVoice, language: str, rng: np.random.Generator
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield kind, audio (T,) at RATE and classes of the units, spoken and sung in their shares of time."""
    kokoro = load_kokoro()
    seconds = {"spoken": 0.0, "sung": 0.0}
    source = texts(rng, language)
    while True:
        kind = min(seconds, key=lambda kind: seconds[kind] / (SUNG if kind == "sung" else 1 - SUNG))
        text = " ".join(next(source) for _ in range(1 if kind == "sung" else 2))
        said = kokoro.known(letters(text, language, voice.british))[: len(voice.style)]
        speed = float(rng.uniform(0.8, 1.15))
        prosody = kokoro.prosody(said, voice.style, speed)
        if kind == "sung":
            prosody = sung(said, prosody, rng)
        if FRAME * prosody.durations.sum() > LONGEST:
            continue
        audio = kokoro.say(said, voice.style, prosody)
        classes = phones.per_unit(*timed(said, prosody.durations), n_units(len(audio) / RATE))
        audio, classes = trimmed(audio, with_pauses(classes, audio, RATE))
        if len(classes):
            seconds[kind] += len(audio) / RATE
            yield kind, levelled(audio), classes


def trimmed(audio: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Audio (T,) at RATE and classes (U,) with MARGIN units of silence at the ends; (0,) if all is silent."""
    sound = np.flatnonzero(classes != phones.INDEX[phones.SILENCE])
    if not len(sound):
        return audio[:0], classes[:0]
    first, last = max(0, sound[0] - MARGIN), sound[-1] + 1 + MARGIN
    step = RATE // UNITS_PER_SECOND
    return audio[first * step : last * step], classes[first:last]


def levelled(audio: np.ndarray) -> np.ndarray:
    """Audio (T,) scaled to LEVEL, or to PEAK if that is less."""
    size = np.abs(audio)
    loud = audio[size > 0.008 * size.max()]
    return audio * min(LEVEL / np.sqrt(np.square(loud).mean()), PEAK / size.max())


def _perform(speech: Path, styles: dict[str, np.ndarray], seconds: float, seed: int, name: str) -> None:
    """Write one voice."""
    source, language, number = name.split("-")
    rng = np.random.default_rng([seed, LANGUAGES.index(language), int(number), source == "held"])
    if source == "held":
        voice = KokoroVoice.held(styles, f"{language}-{number}")
    else:
        voice = KokoroVoice.between(styles, language, rng)
    with finished_folder(speech / name) as folder:
        done = 0.0
        for index, (kind, audio, classes) in enumerate(clips(voice, language, rng)):
            write_clip(folder / f"{index:04d}-{kind}.wav", audio, RATE, classes)
            done += len(audio) / RATE
            if done >= seconds:
                break


if __name__ == "__main__":
    sys.exit(main())
