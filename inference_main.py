"""Step 5: convert songs into the voice of a trained model.

Songs lie in raw/ (or are given as paths), results go to results/. Use vocals
without accompaniment and without reverb; stereo, any sampling rate and any
length are fine.
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
    from inference.conversion import PitchFiles
    from inference.options import ConvertOptions
    from inference.options.checks import Key
    from inference.pipeline import SongConverter
    from modules.config import Config

ConversionJob = tuple[Path, str, "float | str"]  # song, speaker, key
EPILOG = """\
examples:
  python inference_main.py -m logs/44k/G_20000.pth -n song -s anna
  python inference_main.py -m logs/44k/G_20000.pth -n song -s anna -t 12     an octave higher
  python inference_main.py -n one two three -t 0 -12 5 -s anna bob           3 songs x 2 voices
  python inference_main.py --reference recordings/anna.wav -n song           without training
  python inference_main.py -n song -s anna -t auto --autotune 0.7 --preview 15
  python inference_main.py -n song -s anna --write_f0 song.f0.csv            edit it, then: --f0 song.f0.csv
  python inference_main.py -n song -s anna -t auto --save_preset anna        then: -n other --preset anna
  python inference_main.py --onnx checkpoints/anna -n song -s anna           without PyTorch
  python inference_main.py -n "C:/music/my song.mp3" -s 0 -wf mp3 -f0p crepe

A man's song in a woman's voice usually wants -t 12, the reverse -t -12; both stay
in key with the accompaniment. A song outside the range that the
model was trained on is reported, with a key that fits better.
Result: results/<song>_<key>key_<speaker>_<glow|glowdiff|diff>_<f0>[_<option>...].<format>; the comment tag
says that it is a conversion.
"""


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    from inference.options.arguments import add_arguments

    parser = make_parser(__doc__, EPILOG)
    add_arguments(parser)
    parser.add_argument(
        "--preset", metavar="NAME", help="take the options of configs/presets/NAME.json; flags beside it win"
    )
    parser.add_argument("--save_preset", metavar="NAME", help="write the options of this run to such a file")
    return parser


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Convert every song to every speaker; return the exit code."""
    parser = get_parser()
    args = parser.parse_args(argv)
    if args.preset:
        from inference.options.preset import read_preset

        parser.set_defaults(**read_preset(args.preset))
        args = parser.parse_args(argv)

    from inference.options.arguments import from_arguments
    from inference.pitch.paths import pitch_files
    from inference.source import find_songs

    options = from_arguments(args)
    songs = find_songs(options.clean_names)
    if options.reference:
        from modules.common.progress import stage

        with stage("listening to the voice"):
            from model_tools.instant import make_instant_voice

            voice = make_instant_voice(options.reference)
        options = replace(options, reference="", model_path=str(voice))
    if not options.only_diffusion and not options.onnx:
        _check_model("model", "-m", Path(options.model_path), "G_*.pth")
    if options.diffuses and not options.onnx:
        _check_model("diffusion model", "-dm", Path(options.diffusion_model_path), "model_*.pt")
    pitch = pitch_files(options, songs)
    jobs = _jobs(songs, options, _voice(options))

    from modules.common.parallel import failure
    from modules.common.progress import stage

    with stage("loading the voice model"):
        converter = _converter(options)
    if args.save_preset:
        from inference.options.preset import write_preset

        print(f"preset: {write_preset(args.save_preset, options)}")
    failed = 0
    for result, (song, speaker, key) in jobs.items():
        try:
            _convert(converter, song, result, speaker, key, pitch[song])
            continue
        except GlowSVCError as error:
            reason = str(error)
        except OSError as error:
            reason = failure(song, error)
        print(f"inference_main.py: {reason}", file=sys.stderr)
        failed += 1
    if failed:
        print(f"inference_main.py: {failed} of {len(jobs)} conversions failed", file=sys.stderr)
    return 2 if failed else 0


def _voice(options: ConvertOptions) -> Config:
    """Configuration of the voice model that the options name."""
    if options.onnx:
        from modules.onnx.manifest import read_manifest

        return read_manifest(options.onnx).config
    from inference.voice_config import load_voice

    return load_voice(options)[0]


def _converter(options: ConvertOptions) -> SongConverter:
    """Load the voice model, with PyTorch or without."""
    if options.onnx:
        from inference.onnx.converter import OnnxConverter

        return OnnxConverter(options)
    from inference.converter import Converter

    return Converter(options)


def _jobs(songs: Sequence[Path], options: ConvertOptions, config: Config) -> dict[Path, ConversionJob]:
    """Conversions by the path of their result."""
    from inference.output import check_format, result_name

    check_format(options.wav_format)
    speakers = _speakers(options, config)
    jobs: dict[str, tuple[Path, ConversionJob]] = {}
    for song, key in zip(songs, options.keys(len(songs)), strict=True):
        for speaker in speakers:
            name = result_name(song.stem, key, speaker, options)
            # some file systems ignore case
            result, job = jobs.setdefault(name.casefold(), (Path("results") / name, (song, speaker, key)))
            if job != (song, speaker, key):
                raise ConfigError(f"{job[0]} and {song} would both become {result}; rename one of them")
    return dict(jobs.values())


def _speakers(options: ConvertOptions, config: Config) -> list[str]:
    """Names of the target speakers."""
    if options.use_spk_mix:
        from inference.pipeline import MIXED
        from inference.speaker_mix import SpeakerMix

        # refused before any work
        SpeakerMix.from_file(options.spk_mix_file, config.spk, config.model.n_speakers)
        return [MIXED]
    speakers = options.spk_list or (tuple(config.spk) if len(config.spk) == 1 else ())
    if not speakers:
        raise ConfigError(f"name the target speaker with -s; the model knows: {config.known_speakers()}")
    return [config.speaker_name(speaker) for speaker in speakers]


def _check_model(kind: str, flag: str, path: Path, pattern: str) -> None:
    if not path.is_file():
        there = ", ".join(sorted(other.name for other in path.parent.glob(pattern)))
        raise CheckpointError(
            f"there is no {kind} {path}; give one with {flag}. "
            f"{path.parent}/ holds: {there or 'no ' + pattern}"
        )


def _convert(
    converter: SongConverter, song: Path, result: Path, speaker: str, key: Key, pitch: PitchFiles
) -> None:
    """Convert one song under a progress bar and print the result."""
    from modules.common.progress import seconds_bar

    with seconds_bar(song.name) as show:
        converted = converter.convert(song, result, speaker, key, show, pitch=pitch)
    print(f"{result}: {converted.seconds:.1f} s, real-time factor {converted.real_time_factor:.2f}")
    if choice := converted.choice:
        print(f"  key {choice.semitones:+d}: {choice.reason(speaker)}")
    if advice := converted.advice:
        (low, high), (floor, ceiling) = advice.song_range, advice.trained_range
        where = f"{low:.0f}–{high:.0f} Hz" + (f" with -t {converted.key:g}" if converted.key else "")
        print(
            f"  the song lies at {where}, but {speaker} was trained on {floor:.0f}–{ceiling:.0f} Hz; "
            f"-t {advice.semitones} would fit better"
        )
    if converter.options.use_spk_mix:
        from inference.speaker_mix import SpeakerMix
        from inference.speaker_mix.plot import write_mix_plot

        config, picture = converter.config, result.with_suffix(".png")
        mix = SpeakerMix.from_file(converter.options.spk_mix_file, config.spk, config.model.n_speakers)
        write_mix_plot(picture, mix, converted.seconds)
        print(f"  speaker mix: {picture}")


if __name__ == "__main__":
    sys.exit(main())
