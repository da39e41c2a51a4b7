"""Evaluate voice models: convert songs, measure the results, write a report.

Takes one model, or several and ranks them. The report is a web page with
pictures and players, and the same numbers as JSON; it needs no network. A second
page is for blind listening, which no number replaces.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING

from modules.common.cli import entry_point, make_parser
from modules.common.text import normalize_name

if TYPE_CHECKING:
    from evaluation.conversions import Conversion, SourceSong
    from evaluation.results import EvalResult, SoundFiles
    from inference.converter import Converter
    from inference.options import ConvertOptions

# options of a conversion that an evaluation has not, or has in another form
NOT_EVALUATED = frozenset(("reference", "trans", "f0_file", "write_f0", "midi", "write_midi", "preview"))
MAX_CLIPS = 8  # held-out clips that are converted for each model
EPILOG = """\
examples:
  python evaluate.py -m logs/44k/G_20000.pth -n song -s anna --target dataset_raw/anna
  python evaluate.py -m logs/44k/G_1*.pth -n one two -t 0 5 -s anna     rank checkpoints
  python evaluate.py -m logs/44k/G_best.pth -n poem -s anna --text "the words that are spoken"
  python evaluate.py --ab results/old results/new                       a blind test of two folders

Some evaluators need more packages: python -m pip install -r requirements-quality.txt
Without them their rows say so, and the rest is measured. docs/evaluation.md explains every
number. Run it in the folder of the training, so that the held-out clips are found.
Result: report.html and report.json in the folder of --output, the sounds beside them.
"""


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    from inference.options.arguments import add_arguments

    # the flags of one model are replaced by those of several
    parser = make_parser(__doc__, EPILOG, conflict_handler="resolve")
    add_arguments(parser, but=NOT_EVALUATED)
    add = parser.add_argument
    add("-m", "--model_path", nargs="+", default=[], metavar="FILE", help="trained voice models")
    configs = "their configurations, one for all or one for each (default: config.json beside each)"
    add("-c", "--config_path", nargs="+", default=[], metavar="FILE", help=configs)
    keys = "key change in semitones, one for all songs or one for each (0)"
    add("-t", "--trans", nargs="+", type=float, default=(0.0,), metavar="NUMBER", help=keys)
    add("--onnx", default="", help=argparse.SUPPRESS)
    add("-usm", "--use_spk_mix", action="store_true", help=argparse.SUPPRESS)
    add("--spk_mix_file", default="", help=argparse.SUPPRESS)
    add_own = parser.add_argument_group("evaluation").add_argument
    add_own("--target", type=Path, metavar="FOLDER", help="recordings of the target voice")
    words = "lyrics of each song, in quotes, or a .txt file of them"
    add_own("--text", nargs="+", default=[], metavar="WORDS", help=words)
    add_own(
        "--language", default="", metavar="CODE", help="of the words: en, zh, ja ... (detected in each song)"
    )
    add_own("--output", type=Path, metavar="FOLDER", help="output folder (results/evaluation)")
    blind = "only write a page for blind listening, of sounds of equal name in two folders (to results/ab)"
    add_own("--ab", nargs=2, type=Path, metavar="FOLDER", help=blind)
    add_own("--question", default="", help="question on that page (Which one sounds better?)")
    add_own("--seed", type=int, default=0, help="seed of the order on that page (0)")
    return parser


@dataclass(frozen=True)
class EvaluationPlan:
    """Checked arguments."""

    models: dict[str, ConvertOptions]  # by the name of the model
    songs: dict[Path, float]  # and their keys
    speaker: str  # name of the target voice
    target: list[Path]  # recordings of it
    texts: list[str]  # lyrics of each song; empty if they were not given
    output: Path  # folder of the report

    def settings(self) -> dict[str, str]:
        """What was asked for and has an effect, as text for the report."""
        from inference.options.effects import unused_options

        options = next(iter(self.models.values()))
        named = {"model_path", "config_path", "clean_names", "trans", "spk_list", "spk_mix_file"}
        named |= unused_options(options).keys()
        changed = [
            f"{option.metadata['flags'][0]} {getattr(options, option.name)}"
            for option in fields(options)
            if option.name not in named and getattr(options, option.name) != option.default
        ]
        recordings = f"{self.target[0].parent}, {len(self.target)} files" if self.target else "not given"
        return {
            "voice": self.speaker,
            "songs": ", ".join(f"{path.name} ({key:+g})" for path, key in self.songs.items()),
            "models": ", ".join(one.model_path for one in self.models.values()),
            "recordings": recordings,
            "options": " ".join(changed) or "the defaults",
        }


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate, or write the page for blind listening; return the exit code."""
    args = get_parser().parse_args(argv)
    if args.ab:
        from evaluation.ab import find_pairs, folder_names

        _write_ab(find_pairs(*args.ab), folder_names(*args.ab), args.output or Path("results/ab"), args)
        return 0

    from evaluation.evaluators import build_evaluators, evaluate_conversion
    from evaluation.evaluators.base import EvalInputs
    from evaluation.report import summary, write_report
    from evaluation.results import Evaluation
    from inference.converter import Converter

    plan = _plan(args)  # every mistake is reported before the work begins
    evaluators, missing = build_evaluators(EvalInputs(plan.target, args.language))
    sources: dict[tuple[Path, bool, int, float], SourceSong] = {}
    results: list[EvalResult] = []
    for model, options in plan.models.items():
        converter = Converter(options)
        clips, reason = _held_out_clips(converter, plan.speaker)
        if not clips:
            missing["mcd"] = reason
        for path, key, held_out in [
            *((song, key, False) for song, key in plan.songs.items()),
            *((clip, 0.0, True) for clip in clips),
        ]:
            conversion, sounds = _convert(converter, model, path, key, held_out, plan, sources)
            results.append(evaluate_conversion(model, conversion, held_out, sounds, evaluators))
    paths = {model: options.model_path for model, options in plan.models.items()}
    evaluation = Evaluation(paths, tuple(results), missing, plan.settings())
    best = [entry.model for entry in evaluation.ranking()][:2]
    if len(best) == 2:
        pairs = evaluation.pairs(best[0], best[1], plan.output)
        _write_ab(pairs, (best[0], best[1]), plan.output, args)
    for report in write_report(evaluation, plan.output, "ab.html" if len(best) == 2 else ""):
        print(report)
    print("\n".join(summary(evaluation)))
    return 0


def _plan(args: argparse.Namespace) -> EvaluationPlan:
    """Check the command line.

    Raises:
        GlowSVCError: Arguments contradict each other, or a file is missing.
    """
    from evaluation.text import read_text
    from inference.output import check_format
    from inference.source import find_songs
    from modules.common.errors import AudioError, ConfigError
    from modules.dsp.audio import find_audio, open_audio

    if args.onnx or args.use_spk_mix:
        raise ConfigError("evaluate.py evaluates one voice of a PyTorch model: remove --onnx and -usm")
    if args.auto_predict_f0:
        raise ConfigError("-a lets the model choose the pitch, so there is no melody to compare; remove it")
    models = _models(args)
    options = next(iter(models.values()))
    check_format(options.wav_format)
    songs = find_songs(options.clean_names)
    for song in songs:
        open_audio(song).close()
    names = [song.stem for song in songs]
    if len(set(names)) < len(names):
        doubled = next(name for name in names if names.count(name) > 1)
        raise ConfigError(f"two songs are called {doubled!r}; give each once, or rename one of them")
    target = find_audio(args.target) if args.target and args.target.is_dir() else []
    if args.target and not target:
        raise AudioError(f"--target: {args.target} is not a folder of recordings")
    if args.text and len(args.text) != len(songs):
        raise ConfigError(f"--text gives the words of {len(args.text)} songs, but -n names {len(songs)}")
    return EvaluationPlan(
        models=models,
        songs=dict(zip(songs, map(float, options.keys(len(songs))), strict=True)),
        speaker=_speaker(models),
        target=target,
        texts=[read_text(text) for text in args.text],
        output=args.output or Path("results/evaluation"),
    )


def _models(args: argparse.Namespace) -> dict[str, ConvertOptions]:
    """Options of each model, by a unique name."""
    from inference.options.arguments import from_arguments
    from modules.common.errors import CheckpointError, ConfigError

    paths: list[Path] = []
    for name in args.model_path:  # on Windows the shell leaves patterns to the program
        found = [] if Path(name).is_file() else sorted(map(Path, glob(name)))
        paths += found or [Path(name)]
    if not paths:
        raise ConfigError("name the models to evaluate with -m, or two folders of sounds with --ab")
    for path in paths:
        if not path.is_file():
            raise CheckpointError(f"there is no model {path}; name the models to evaluate with -m")
    if len({path.resolve() for path in paths}) < len(paths):
        raise ConfigError("-m names a model twice")
    configs = args.config_path or [""] * len(paths)
    configs = configs * len(paths) if len(configs) == 1 else configs
    if len(configs) != len(paths):
        raise ConfigError(
            f"-c names {len(configs)} configurations for {len(paths)} models; give one, or one for each"
        )
    models: dict[str, ConvertOptions] = {}
    for path, config in zip(paths, configs, strict=True):
        label = path.stem
        if [other.stem for other in paths].count(label) > 1:
            label = f"{path.resolve().parent.name}_{label}"
        while label in models:
            label += "_"
        values = {**vars(args), "model_path": str(path), "config_path": config}
        models[label] = from_arguments(argparse.Namespace(**values))
    return models


def _speaker(models: Mapping[str, ConvertOptions]) -> str:
    """Name of the target voice, the same in all models."""
    from inference.voice_config import load_voice
    from modules.common.errors import ConfigError

    found = set()
    for options in models.values():
        config = load_voice(options)[0]
        wanted = options.spk_list or (tuple(config.spk) if len(config.spk) == 1 else ())
        if len(wanted) != 1:
            raise ConfigError(f"name one target speaker with -s; the model knows: {config.known_speakers()}")
        found.add(config.speaker_name(wanted[0]))
    if len(found) > 1:
        raise ConfigError(f"models name the speaker differently: {', '.join(sorted(found))}; use names")
    return found.pop()


def _held_out_clips(converter: Converter, speaker: str) -> tuple[list[Path], str]:
    """Validation clips of the voice, or why there are none."""
    from modules.common.errors import ConfigError
    from training.data.filelist import read_filelist

    data = converter.config.data
    path = data.validation_files
    try:
        clips, trained = read_filelist(path), set()
        if Path(data.training_files).is_file():
            trained = set(read_filelist(data.training_files))
    except ConfigError:
        return [], f"there is no {path} here; run this where the model was trained"
    clips = [clip for clip in clips if normalize_name(clip.parent.name) == speaker and clip.is_file()]
    kept = [clip for clip in clips if clip not in trained]
    if clips and not kept:
        return (
            [],
            f"the model is trained on every recording of {speaker} in {path}; resample.py --slice makes more",
        )
    return kept[:MAX_CLIPS], f"{path} names no recording of {speaker} that is here"


def _convert(
    converter: Converter,
    model: str,
    path: Path,
    key: float,
    held_out: bool,
    plan: EvaluationPlan,
    sources: dict[tuple[Path, bool, int, float], SourceSong],
) -> tuple[Conversion, SoundFiles]:
    """Convert a song or a held-out clip; ``sources`` keeps what all models share."""
    from evaluation.conversions import Conversion, SourceSong
    from evaluation.evaluators.cloning import copy_synthesis
    from evaluation.results import SoundFiles
    from inference.output import result_name
    from modules.common.progress import seconds_bar
    from modules.dsp.audio import read_audio, write_audio
    from modules.dsp.loudness import below_full_scale

    rate, kind = converter.sampling_rate, "held_out" if held_out else ""
    result = Path("audio", model, kind, result_name(path.stem, key, plan.speaker, converter.options))
    with seconds_bar(f"converting {path.name}") as show:
        done = converter.convert(path, plan.output / result, plan.speaker, key, show)
    source = Path("audio", "source", kind, f"{path.stem}.flac")
    ceiling = "" if held_out else source.with_name(f"{path.stem}_world.flac")
    known = (path, held_out, rate, key)
    if known not in sources:
        song = sources[known] = SourceSong(
            name=path.name,
            audio=read_audio(path, rate)[0],
            sampling_rate=rate,
            f0=done.f0,
            uv=done.uv,
            key=key,
            hop_length=converter.config.data.hop_length,
            text="" if held_out or not plan.texts else plan.texts[list(plan.songs).index(path)],
        )
        write_audio(plan.output / source, below_full_scale(song.audio), rate)
        if ceiling:
            write_audio(plan.output / ceiling, below_full_scale(song.resynthesis), rate)
    song = sources[known]
    copy = None
    if held_out:
        voiced = converter.source_voicing(done.uv)
        copy = copy_synthesis(song.audio, converter.config.data, converter.vocoder, done.f0, voiced)
    conversion = Conversion(
        song=song,
        audio=read_audio(plan.output / result, rate)[0],
        joins=[(cut.start, cut.start + cut.fade_in) for cut in done.chunks if cut.start > 0],
        real_time_factor=done.real_time_factor,
        copy_synthesis=copy,
    )
    files = (Path(sound).as_posix() if sound else "" for sound in (result, source, ceiling))
    return conversion, SoundFiles(*files)


def _write_ab(
    pairs: Mapping[str, tuple[Path, Path]], names: tuple[str, str], output: Path, args: argparse.Namespace
) -> None:
    """Write the page for blind listening, and print where it is."""
    from evaluation.ab import QUESTION, write_ab

    page = write_ab(pairs, names, output, args.seed, args.question or QUESTION)
    print(f"{page}: {len(pairs)} {'pair' if len(pairs) == 1 else 'pairs'} to listen to")


if __name__ == "__main__":
    sys.exit(main())
