"""Results of an evaluation, as the report and report.json contain them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluation.conversions import EvalScore
from evaluation.ranking import RULE, RankedModel, rank_models
from modules.common.metrics import EVALUATION_METRICS

FORMAT = 1  # of report.json


@dataclass(frozen=True)
class SoundFiles:
    """Sounds of one conversion, relative to the report."""

    result: str
    source: str
    resynthesis: str = ""  # the ceiling, see evaluation/resynthesis.py; "" for a clip


@dataclass(frozen=True)
class EvalResult:
    """Scores of one conversion; report.json has these fields, but for the picture."""

    model: str
    song: str
    held_out: bool  # it is a clip of the voice, converted to its own voice
    key: float  # semitones
    seconds: float
    joins: int  # crossfades between slices
    scores: Mapping[str, EvalScore]  # by metric
    sounds: SoundFiles
    picture: bytes = field(default=b"", repr=False)  # PNG of the source above the result; b"" for none


@dataclass(frozen=True)
class Evaluation:
    """Results of all models."""

    models: Mapping[str, str]  # their files, by their names in the report
    results: tuple[EvalResult, ...]  # one for each model and song or clip
    missing: Mapping[str, str]  # by metric, why it could not be measured
    settings: Mapping[str, str]  # what was asked for, as text

    def means(self, model: str) -> dict[str, EvalScore]:
        """Scores of a model, each the mean over all songs or clips that have it."""
        rows = [result.scores for result in self.results if result.model == model]
        columns = {name: [row[name] for row in rows if name in row] for name in EVALUATION_METRICS}
        return {
            name: EvalScore(
                _mean(score.value for score in column), _mean(score.reference for score in column)
            )
            for name, column in columns.items()
        }

    def ranking(self) -> list[RankedModel]:
        """Models by rank, best first."""
        means = {model: self.means(model).items() for model in self.models}
        return rank_models({model: {name: s.value for name, s in row} for model, row in means.items()})

    def pairs(self, first: str, second: str, folder: Path) -> dict[str, tuple[Path, Path]]:
        """Conversions of each song by two models, by song; ``folder`` is that of the report."""
        songs = [result for result in self.results if not result.held_out]
        files = {(result.model, result.song): folder / result.sounds.result for result in songs}
        return {song: (path, files[second, song]) for (model, song), path in files.items() if model == first}

    def reason(self, name: str) -> str:
        """Why a number is missing, as far as is known."""
        return self.missing.get(name, EVALUATION_METRICS[name].why_missing)

    def as_json(self) -> dict[str, Any]:
        """Content of report.json: all but the pictures; a missing number is null."""
        return {
            "format": FORMAT,
            "settings": dict(self.settings),
            "metrics": {
                name: {
                    "title": metric.label,
                    "better": metric.better or None,
                    "reference": metric.reference or None,
                    "meaning": metric.meaning,
                    "missing": self.missing.get(name),
                }
                for name, metric in EVALUATION_METRICS.items()
            },
            "rule": RULE,
            "models": [
                {
                    "name": entry.model,
                    "path": self.models[entry.model],
                    "rank": entry.rank,
                    "group_ranks": dict(entry.groups),
                    "means": _scores(self.means(entry.model)),
                }
                for entry in self.ranking()
            ],
            "takes": [
                {
                    **{key: value for key, value in vars(result).items() if key != "picture"},
                    "seconds": round(result.seconds, 3),
                    "scores": _scores(result.scores),
                    "sounds": vars(result.sounds),
                }
                for result in self.results
            ],
        }


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return sum(known) / len(known) if known else math.nan


def _scores(scores: Mapping[str, EvalScore]) -> dict[str, dict[str, float | None]]:
    def numbers(score: EvalScore) -> dict[str, float | None]:
        return {key: round(x, 6) if math.isfinite(x) else None for key, x in vars(score).items()}

    return {name: numbers(score) for name, score in scores.items()}
