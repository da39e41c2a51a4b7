"""A whole song in, a whole song out: its voice converted, and mixed with its instruments again.

The vocals are separated, the lead is converted, gets the level, the place and the room
of the original, and is mixed with what was left. Every part is written too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from modules.common.cli import entry_point, make_parser
from modules.common.errors import CheckpointError, ConfigError, GlowSVCError

if TYPE_CHECKING:
    from inference.cover.pipeline import CoverResult
    from inference.options import ConvertOptions
    from inference.pipeline import SongConverter
    from modules.config import Config

# of a conversion, and of no use for a cover, or with another default
_OTHER = (
    *("clean_names", "use_spk_mix", "spk_mix_file", "auto_predict_f0"),
    *("loudness_envelope_adjustment", "midi", "write_midi", "preview"),
)
EPILOG = """\
examples:
  python cover.py -m logs/44k/G_20000.pth -s anna song.mp3
  python cover.py -m logs/44k/G_20000.pth -s anna song.mp3 -t 12              the voice an octave higher
  python cover.py -m logs/44k/G_20000.pth -s anna song.mp3 -t auto            the octave that fits anna
  python cover.py -m logs/44k/G_20000.pth -s anna song.mp3 --instrumental_key -3    all of it lower
  python cover.py -m logs/44k/G_20000.pth -s anna duet.flac --backing convert --backing_speaker bob
  python cover.py -m logs/44k/G_20000.pth -s anna song.mp3 --separator demucs
  python cover.py --reference recordings/anna.wav song.mp3                    without training

Without --instrumental_key only octaves (-t 12, -t -12) are in key with the instruments.
Result: results/<song>_<key>key_<speaker>_..._cover/, with cover, acappella, instrumental, backing, and lead
and vocals of the original, and a picture. Stages are kept in results/.cover: what has not changed is not
computed again.
"""


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    from inference.cover.options import add_cover_arguments
    from inference.options.arguments import add_arguments

    parser = make_parser(__doc__, EPILOG)
    parser.add_argument("songs", nargs="+", metavar="song", help="mixed songs: paths, or names in raw/")
    add_cover_arguments(parser)
    add_arguments(parser, _OTHER)
    parser.add_argument(
        "-lea",
        "--loudness_envelope_adjustment",
        type=float,
        default=0.0,
        metavar="NUMBER",
        help="loudness envelope of the new voice: 0 follows the original, 1 keeps its own (%(default)g)",
    )
    return parser


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Make a cover of every song with every speaker; return the exit code."""
    args = get_parser().parse_args(argv)

    from inference.cover.options import cover_options
    from inference.options.arguments import from_arguments
    from inference.options.checks import AUTO_KEY
    from inference.pitch.paths import pitch_files
    from inference.source import find_songs

    options, settings = from_arguments(args), cover_options(args)
    songs = find_songs(args.songs)
    keys, pitch = options.keys(len(songs)), pitch_files(options, songs)
    if options.reference:
        from modules.common.progress import stage

        with stage("listening to the voice"):
            from model_tools.instant import make_instant_voice

            voice = make_instant_voice(options.reference)
        options = replace(options, reference="", model_path=str(voice))
    path = Path(options.voice_path)
    if not path.exists():
        raise CheckpointError(f"there is no voice model {path}; give one with -m")

    from inference.cover.pipeline import CoverMaker
    from inference.cover.voice import CoverVoice

    maker = CoverMaker(CoverVoice(options, _converter), settings)
    speakers = _speakers(options, maker.voice.config)
    for key in set(keys):
        if key != AUTO_KEY and float(key) % 12 and not settings.instrumental_key:
            print(
                f"-t {float(key):g} is no octave: the voice will be out of key with the instruments; "
                f"--instrumental_key moves both",
                file=sys.stderr,
            )
    failed = 0
    for song, key in zip(songs, keys, strict=True):
        for speaker in speakers:
            try:
                made = maker.make(song, Path("results"), speaker, key, options.wav_format, pitch[song])
                _report(made, speaker)
            except GlowSVCError as error:
                failed += 1
                print(f"cover.py: {song.name}: {error}", file=sys.stderr)
    return 2 if failed else 0


def _converter(options: ConvertOptions) -> SongConverter:
    """Load the voice model, with PyTorch or without."""
    if options.onnx:
        from inference.onnx.converter import OnnxConverter

        return OnnxConverter(options)
    from inference.converter import Converter

    return Converter(options)


def _speakers(options: ConvertOptions, config: Config) -> list[str]:
    """Names of the target speakers."""
    speakers = options.spk_list or (tuple(config.spk) if len(config.spk) == 1 else ())
    if not speakers:
        raise ConfigError(f"name the target speaker with -s; the model knows: {config.known_speakers()}")
    return [config.speaker_name(speaker) for speaker in speakers]


def _report(cover: CoverResult, speaker: str) -> None:
    """Print where a cover is, how long its stages took, and a key that fits better."""
    total = sum(cover.stages.values())
    stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in cover.stages.items())
    print(f"{cover.files['cover']}: {cover.seconds:.1f} s, real-time factor {total / cover.seconds:.2f}")
    print(f"  {stages}")
    if choice := cover.choice:
        print(f"  key {choice.semitones:+d}: {choice.reason(speaker)}")
    if advice := cover.advice:
        (low, high), (floor, ceiling) = advice.song_range, advice.trained_range
        octaves = 12 * round(advice.semitones / 12)
        everything = advice.semitones - octaves
        flags = f"-t {octaves:g}" + (f" --instrumental_key {everything:g}" if everything else "")
        print(
            f"  the song lies at {low:.0f}–{high:.0f} Hz, but {speaker} was trained on "
            f"{floor:.0f}–{ceiling:.0f} Hz; {flags} would fit better"
        )


if __name__ == "__main__":
    sys.exit(main())
