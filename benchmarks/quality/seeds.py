"""What training as in the demo gives with several seeds: the mean of each measure and its 95 % interval.

    python -m benchmarks.quality.seeds WORK --recordings <folder> --songs <file> --spoken en=<folder>

A model of each seed converts songs, songs of synthetic singers, whose pitch is known, and
spoken sentences with known words (tools.starter.spoken writes them), in the keys that suit
the voice. --instant measures the voice that inference_main.py --reference makes of 20 s of
the recordings, others for each seed, beside it; --models measures finished models instead
of training. Finished parts are kept in WORK: run it again to continue, or to print the
table again. Another folder is for other settings. Needs requirements-quality.txt.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.measure import table
from benchmarks.quality.scoring import HOP, RATE, FileScorer, SourceFile
from benchmarks.workspace import prepare, run
from demo import PROTECT
from evaluation.text import WITHOUT_SPACES, read_text
from inference.key import suggest_key
from modules.common.cli import make_parser
from modules.common.files import write_json
from modules.common.metrics import EVALUATION_METRICS, SOURCE
from modules.dataset.f0_survey import F0Survey
from modules.dsp.audio import find_audio, read_audio, write_audio
from modules.f0_predictor import DEFAULT_PREDICTOR, F0_PREDICTORS
from modules.pretrained.starter import STARTER_ENCODER
from synthetic_voice import compose, sing
from training.base_model import STARTER_NAME

STEPS = 1600  # what --tiny asks for, and make demo reaches on a fast machine
SINGERS = {"ivan": 21, "noor": 22}  # synthetic ones, and the seeds of their songs
SECONDS = 20.0  # of such a song
REFERENCE_SECONDS = 20.0  # of recordings for the voice that is made at once
_FIXED = ("recordings", "songs", "spoken", "most", "steps", "models", "f0_predictor", "protect")  # in WORK

Scores = Mapping[str, Mapping[str, Sequence[float | None]]]  # by file and metric: value and reference


def main() -> None:
    """Train, convert and measure what is not finished yet; print the table."""
    args = get_parser().parse_args()
    comparison = SeedComparison(args)
    n_seeds = len(args.models) or args.seeds
    found: dict[str, list[dict[str, Scores]]] = {}
    with tqdm(total=len(comparison.voices) * n_seeds * len(comparison.groups), unit="part") as bar:
        for voice in comparison.voices:
            for seed in range(n_seeds):
                scores = {}
                for group in comparison.groups:
                    scores[group] = comparison.scores(voice, seed, group)
                    bar.update()
                found.setdefault(voice, []).append(scores)
    header = [f"{n_seeds} seeds, mean ± 95 %", "reference", *found]
    table(header, [row for measure in _measures(comparison.groups) if (row := _row(*measure, found))])


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("work", type=Path, help="folder for all results")
    add("--recordings", required=True, type=Path, help="folder of the voice")
    add("--songs", nargs="*", default=[], type=Path, help="songs by other singers")
    add("--spoken", nargs="*", default=[], metavar="LANGUAGE=FOLDER", help="sentences (.wav, .txt)")
    add("--most", type=int, default=30, help="sentences of each language (%(default)s)")
    add("--seeds", type=int, default=3, help="number of trainings (%(default)s)")
    add("--steps", type=int, default=STEPS, help="of each (%(default)s)")
    add("--models", nargs="+", default=[], type=Path, metavar="FILE", help="trained models")
    add(
        "--f0_predictor", default=DEFAULT_PREDICTOR, choices=F0_PREDICTORS, help="for training and conversion"
    )
    add("--protect", type=float, default=PROTECT, help="of the conversions (%(default)s, as in the demo)")
    add("--instant", action="store_true", help="also the voice of 20 s that needs no training")
    return parser


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half of its 95 % interval by Student's t; NaN where there are too few finite values."""
    from scipy.stats import t

    known = [value for value in values if math.isfinite(value)]
    if len(known) < 2:
        return (known[0] if known else math.nan), math.nan
    half = t.ppf(0.975, len(known) - 1) * np.std(known, ddof=1) / math.sqrt(len(known))
    return float(np.mean(known)), float(half)


class SeedComparison:
    """What is measured, and where; nothing is computed that is there."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args, self._work = args, args.work.resolve()
        self._check_settings({name: str(getattr(args, name)) for name in _FIXED})
        self.voices: dict[str, Callable[[int], list[str]]] = {"after training": self._trained}
        if args.instant:
            self.voices["at once"] = lambda seed: ["--reference", str(self._reference(seed))]
        spoken = [given.partition("=")[0] for given in args.spoken]
        self.groups = [*(["songs"] if args.songs else []), "synthetic", *spoken]

    def _check_settings(self, settings: dict[str, str]) -> None:
        """Stop where the results in WORK are of other settings."""
        path = self._work / "settings.json"
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else settings
        for name, value in settings.items():
            if (before := known.get(name)) != value:
                raise SystemExit(f"{self._work} was made with --{name} {before}; name another folder")
        write_json(path, settings)

    def scores(self, voice: str, seed: int, group: str) -> Scores:
        """Scores of a group of sounds."""
        path = self._work / "judged" / f"{voice}-{seed}" / f"{group}.json"
        if not path.exists():
            folder = self._work / "converted" / f"{voice}-{seed}" / group
            folder.mkdir(parents=True, exist_ok=True)
            keys = self._keys(group)
            results = self._convert(folder, self.voices[voice](seed), keys)
            write_json(path, {s.path.stem: self._score(results[s], s, key) for s, key in keys.items()})
        return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]

    @cached_property
    def _recordings(self) -> list[Path]:
        return find_audio(self._args.recordings)

    @cached_property
    def _scorer(self) -> FileScorer:
        return FileScorer(self._recordings)

    def _score(self, result: Path, source: SourceFile, key: int) -> dict[str, list[float | None]]:
        def plain(value: float) -> float | None:
            return round(value, 6) if math.isfinite(value) else None

        scores = self._scorer.score(result, source, key)
        return {name: [plain(score.value), plain(score.reference)] for name, score in scores.items()}

    @cache  # noqa: B019, one for each run
    def _keys(self, group: str) -> dict[SourceFile, int]:
        """The sources of a group, each with the key in semitones that suits the voice."""
        path = self._work / "range.json"
        if not path.exists():
            survey = F0Survey()
            for recording in self._recordings:
                f0 = SourceFile(recording).melody()
                survey.add(f0, f0 > 0)
            write_json(path, survey.range)
        f0_range = json.loads(path.read_text(encoding="utf-8"))
        return {source: suggest_key(source.melody(), f0_range) for source in self._sources(group)}

    def _sources(self, group: str) -> list[SourceFile]:
        if group == "songs":
            return [SourceFile(path.resolve()) for path in self._args.songs]
        if group == "synthetic":
            return [self._synthetic(singer, seed) for singer, seed in SINGERS.items()]
        folder = dict(given.split("=", 1) for given in self._args.spoken)[group]
        wavs = sorted(Path(folder).resolve().glob("*.wav"))[: self._args.most]
        return [SourceFile(wav, read_text(str(wav.with_suffix(".txt"))), group) for wav in wavs]

    def _synthetic(self, singer: str, seed: int) -> SourceFile:
        song = sing(compose(singer, SECONDS, seed), singer, seed, RATE)
        path = self._work / "synthetic" / f"{singer}.wav"
        write_audio(path, song.audio, RATE)
        return SourceFile(path, f0=song.f0_at(np.arange(len(song.audio) // HOP) * HOP / RATE))

    def _trained(self, seed: int) -> list[str]:
        """Options that name the model of a seed, which is trained unless it is there."""
        if self._args.models:
            return ["-m", str(self._args.models[seed].resolve())]
        folder, name, steps = self._work / "voice", f"seed-{seed}", self._args.steps
        if not (folder / ".complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            prepare(
                folder,
                recordings=self._args.recordings,
                encoder=STARTER_ENCODER,
                f0_predictor=self._args.f0_predictor,
            )
            (folder / ".complete").touch()
        values = json.loads((folder / "configs" / "config.json").read_text(encoding="utf-8"))
        values["train"] |= {"seed": seed, "max_steps": steps, "eval_interval": min(steps, 200)}
        config = folder / "configs" / f"{name}.json"
        write_json(config, values)
        run(folder, "train.py", "-c", str(config), "-m", name, "--base", STARTER_NAME)  # goes on where it was
        return ["-m", str(folder / "logs" / name / f"G_{steps}.pth")]

    def _reference(self, seed: int) -> Path:
        """A file of 20 s of the recordings."""
        path = self._work / "references" / f"{seed}.wav"
        if not path.exists():
            clips: list[np.ndarray] = []
            for index in np.random.default_rng(seed).permutation(len(self._recordings)):
                if sum(map(len, clips)) < REFERENCE_SECONDS * RATE:
                    clips.append(read_audio(self._recordings[index], RATE)[0])
            write_audio(path, np.concatenate(clips)[: round(REFERENCE_SECONDS * RATE)], RATE)
        return path

    def _convert(
        self, folder: Path, voice: Sequence[str], keys: Mapping[SourceFile, int]
    ) -> dict[SourceFile, Path]:
        """Results of the sources, in ``folder``."""
        names = [str(source.path) for source in keys]
        options = ["-t", *map(str, keys.values()), "-f0p", self._args.f0_predictor, "-wf", "wav"]
        options += ["--protect", str(self._args.protect)]
        run(folder, "inference_main.py", *voice, "-n", *names, *options)
        written = sorted((folder / "results").glob("*.wav"))
        return {
            source: next(path for path in written if path.name.startswith(f"{source.path.stem}_{key}key_"))
            for source, key in keys.items()
        }


def _measures(groups: Sequence[str]) -> list[tuple[str, list[str], str]]:
    """Rows: label, groups of sounds, and metric."""
    languages = [name for name in groups if name not in ("songs", "synthetic")]
    rows = [
        (f"{'characters' if name in WITHOUT_SPACES else 'words'} wrong, spoken {name}", [name], "word_error")
        for name in languages
    ]
    for label, names in (("songs", ["songs"]), ("synthetic singers", ["synthetic"]), ("speech", languages)):
        rows.append((f"similarity to the voice, {label}", names, "similarity_target"))
        rows.append((f"similarity to the source, {label}", names, "similarity_source"))
    for label, names in (("songs", ["songs"]), ("speech", languages)):
        rows.append((f"DNSMOS OVRL, {label}", names, "dnsmos_ovrl"))
        rows.append((f"DistillMOS, {label}", names, "distillmos"))
    rows.append(("F0 within 50 cents, songs", ["songs"], "f0_accuracy"))
    rows.append(("true F0 within 50 cents, synthetic singers", ["synthetic"], "f0_accuracy"))
    return rows


def _row(
    label: str, groups: Sequence[str], metric: str, found: Mapping[str, Sequence[Mapping[str, Scores]]]
) -> list[str]:
    """Cells of a row; none where nothing was measured."""
    show = EVALUATION_METRICS[metric].show

    def means(seeds: Sequence[Mapping[str, Scores]], place: int) -> list[float]:
        """Mean over the sounds, for each seed."""
        columns = (
            [scores[metric][place] for group in groups for scores in seed.get(group, {}).values()]
            for seed in seeds
        )
        known = ([value for value in column if value is not None] for column in columns)
        return [float(np.mean(column)) if column else math.nan for column in known]

    def cell(values: Sequence[float]) -> str:
        mean, half = interval(values)
        return show(mean) + (f" ± {show(half)}" if half == half else "")

    cells = [cell(means(seeds, 0)) for seeds in found.values()]
    reference, _ = interval(means(next(iter(found.values())), 1))
    kind = "" if EVALUATION_METRICS[metric].reference == SOURCE else " (WORLD)"
    shown = show(reference) + kind if reference == reference else ""
    return [label, shown, *cells] if any(text != show(math.nan) for text in cells) else []


if __name__ == "__main__":
    main()
