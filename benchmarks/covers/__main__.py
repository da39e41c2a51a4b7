"""Print how well covers are made of songs whose stems are known.

    python -m benchmarks.covers -m <model> [--recordings <folder or file> ...] [--stems <file> ...]
    python -m benchmarks.covers --only duets

needs ``pip install -r requirements-cover.txt tinysoundfont pretty_midi_fluidsynth``.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import soundfile

from benchmarks.covers.songs import (
    RATE,
    StemSong,
    in_rests,
    known_songs,
    read_record,
    si_sdr,
    track,
    within_50_cents,
)
from benchmarks.measure import table
from inference.converter import Converter
from inference.cover.cache import StageCache
from inference.cover.options import CoverOptions
from inference.cover.pipeline import CoverMaker, CoverResult
from inference.cover.voice import CoverVoice
from inference.options import ConvertOptions
from separation import SEPARATORS
from synthetic_voice import compose, sing

SEPARATION, CHAIN, DUETS = "separation", "chain", "duets"
# lead, backing, dB of the backing relative to the lead, and the seed of their melodies; separation/voices.py
# was tuned with seeds from 1000 to 1047, and 7 and 8
PAIRS = (
    *(("bruno", "sofia", -6, 5000), ("bruno", "tomas", -3, 5002)),
    *(("noor", "bruno", -6, 5006), ("sofia", "bruno", -3, 5008)),
    *(("ivan", "kit", -6, 5012), ("bruno", "noor", -3, 5014)),
    *(("tomas", "sofia", -6, 5018), ("tomas", "ivan", -3, 5020)),
    *(("ivan", "sofia", -6, 5024), ("noor", "ivan", -3, 5026)),
    *(("tomas", "bruno", -6, 5030), ("kit", "bruno", -3, 5032)),
    *(("sofia", "tomas", -6, 5036), ("ivan", "noor", -3, 5038)),
    *(("bruno", "kit", -6, 5042), ("sofia", "noor", -3, 5044)),
)


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-m", "--model", help="a voice model with one speaker")
    parser.add_argument("--recordings", nargs="*", type=Path, default=[], help="further voices")
    parser.add_argument("--stems", nargs="*", type=Path, default=[], help="records as .stem.mp4, by ffmpeg")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument(
        "--levels", nargs="*", type=float, default=[3.0, -3.0], help="of voices, dB; none: records alone"
    )
    parser.add_argument("--only", choices=(SEPARATION, CHAIN, DUETS), help="one table instead of all")
    args = parser.parse_args()
    wanted = (args.only,) if args.only else (SEPARATION, CHAIN, DUETS)
    if CHAIN in wanted and not args.model:
        parser.error("-m: the chain needs a voice model")
    records = [read_record(path) for path in args.stems]
    if SEPARATION in wanted:
        table(
            ("song", "vocals, dB re band", "mix", "spleeter", "centre"),
            (
                (song.name, f"{song.level:+.0f}", *_separation(song))
                for song in chain(
                    *(known_songs(args.seconds, level, args.recordings) for level in args.levels), records
                )
            ),
        )
        print(flush=True)
    if CHAIN in wanted:
        options = ConvertOptions(
            model_path=args.model, loudness_envelope_adjustment=0.0, wav_format="wav", device="cpu"
        )
        converter = Converter(options)
        table(
            ("song", "null test", "F0, clean", "F0, cover", "rests, clean", "rests, cover"),
            (
                (song.name, *_chain(song, options, converter))
                for song in chain(
                    *(known_songs(args.seconds, level, args.recordings) for level in args.levels[:1]), records
                )
            ),
        )
        print(flush=True)
    if DUETS in wanted:
        rows = [
            (f"{first} + {other}, {level:+g} dB", *_duet(first, other, level, seed))
            for first, other, level, seed in PAIRS
        ]
        means = (
            "mean",
            *(sum(column) / len(rows) for column in zip(*(row[1:] for row in rows), strict=True)),
        )
        table(
            ("lead + backing", "lead, plain", "lead", "backing, plain", "backing"),
            ((name, *(f"{number:.2f}" for number in numbers)) for name, *numbers in (*rows, means)),
        )


def _separation(song: StemSong) -> list[str]:
    """SI-SDR of the vocals, dB: of the mix, and of what separators find."""
    found = [song.mix]
    for name in ("spleeter", "centre"):
        found.append(np.concatenate(list(SEPARATORS.build(name).separate(song.mix))))
    return [f"{si_sdr(song.vocals, vocals):.1f}" for vocals in found]


def _chain(song: StemSong, options: ConvertOptions, converter: Converter) -> list[str]:
    """Null test, dB; F0 within 50 cents and level in rests, dB, of conversions of the stem and of the mix."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        soundfile.write(place / "mix.wav", song.mix, RATE, "FLOAT")
        same = _read(_cover(place / "mix.wav", options, _CopyConverter()))
        scale = (same * song.mix).sum() / np.square(song.mix).sum()
        null = 10 * np.log10(np.square(same - scale * song.mix).mean() / np.square(same).mean())
        covered = _read(_cover(place / "mix.wav", options, converter), "acappella").mean(1)
        soundfile.write(place / "voice.wav", song.voice, RATE, "FLOAT")
        speaker = next(iter(converter.config.spk))
        converter.convert(place / "voice.wav", place / "clean.wav", speaker, subtype="FLOAT")
        clean = soundfile.read(place / "clean.wav", dtype="float32")[0]
    shares = [f"{within_50_cents(song.f0, track(audio)):.3f}" for audio in (clean, covered)]
    rests = [f"{in_rests(audio, song.voice):.0f} dB" for audio in (clean, covered)]
    return [f"{null:.0f} dB", *shares, *rests]


class _CopyConverter:
    """A converter that gives back what it gets."""

    def convert(self, source: Path, destination: Path, *_: object, **__: object) -> Any:
        shutil.copyfile(source, destination)
        return SimpleNamespace(f0=np.zeros(soundfile.info(source).frames // 512))


def _cover(song: Path, options: ConvertOptions, converter: Any, **settings: Any) -> CoverResult:
    voice = CoverVoice(options, lambda _: converter)
    name = type(converter).__name__
    maker = CoverMaker(voice, CoverOptions(dry=True, **settings), StageCache(song.parent / f"cache {name}"))
    return maker.make(song, song.parent / name, next(iter(voice.config.spk)), 0.0, "wav")


def _read(cover: CoverResult, part: str = "cover") -> np.ndarray:
    audio: np.ndarray = soundfile.read(cover.files[part], dtype="float32")[0]
    return audio


def _duet(lead: str, backing: str, level: float, seed: int, seconds: float = 16.0) -> list[float]:
    """F0 within 50 cents of both voices: in their sum, and each in its own stem."""
    from separation.lead import LeadSplitter

    first, second = (
        sing(compose(singer, seconds, song), singer, song)
        for song, singer in enumerate((lead, backing), seed)
    )
    energy = [np.square(voice.audio).sum() for voice in (first, second)]
    both = first.audio + second.audio * np.float32(10 ** (level / 20) * np.sqrt(energy[0] / energy[1]))
    found = np.concatenate(list(LeadSplitter(np.stack([both, both], 1), np.ones(2)).lead()))[:, 0]
    times = np.arange(len(both) // 512) * 512 / RATE
    plain = track(both)
    numbers = []
    for voice, stem in ((first, found), (second, both - found)):
        truth = voice.f0_at(times)
        numbers += [within_50_cents(truth, plain), within_50_cents(truth, track(stem))]
    return numbers


if __name__ == "__main__":
    main()
