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
    """Sounds of one conversion, relative to the report.

    Attributes:
        result: The conversion.
        source: What was converted.
        resynthesis: The ceiling, see evaluation/resynthesis.py; "" for a clip.
    """

    result: str
    source: str
    resynthesis: str = ""


@dataclass(frozen=True)
class EvalResult:
    """Scores of one conversion.

    Attributes:
        model: Name of the model.
        song: Name of the source.
        held_out: It is a clip of the voice, converted to its own voice.
        key: Semitones.
        seconds: Duration.
        joins: Number of crossfades between slices.
        scores: By metric.
        sounds: Its files.
        picture: PNG of the source above the result; b"" for none.
    """

    model: str
    song: str
    held_out: bool
    key: float
    seconds: float
    joins: int
    scores: Mapping[str, EvalScore]
    sounds: SoundFiles
    picture: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Evaluation:
    """Results of all models.

    Attributes:
        models: Their files, by their names in the report.
        results: One for each model and song or clip.
        missing: By metric, why it could not be measured.
        settings: What was asked for, as text.
    """

    models: Mapping[str, str]
    results: tuple[EvalResult, ...]
    missing: Mapping[str, str]
    settings: Mapping[str, str]

    def means(self, model: str) -> dict[str, EvalScore]:
        """Scores of a model, each the mean over all songs or clips that have it."""
        rows = [result.scores for result in self.results if result.model == model]
        return {
            name: EvalScore(
                _mean(row[name].value for row in rows if name in row),
                _mean(row[name].reference for row in rows if name in row),
            )
            for name in EVALUATION_METRICS
        }

    def ranking(self) -> list[RankedModel]:
        """Models by rank, best first."""
        return rank_models(
            {m: {name: score.value for name, score in self.means(m).items()} for m in self.models}
        )

    def pairs(self, first: str, second: str, folder: Path) -> dict[str, tuple[Path, Path]]:
        """Conversions of each song by two models, by song; ``folder`` is that of the report."""
        files = {
            (result.model, result.song): folder / result.sounds.result
            for result in self.results
            if not result.held_out
        }
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
                    "model": result.model,
                    "song": result.song,
                    "held_out": result.held_out,
                    "key": result.key,
                    "seconds": round(result.seconds, 3),
                    "joins": result.joins,
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
    return {
        name: {"value": _number(score.value), "reference": _number(score.reference)}
        for name, score in scores.items()
    }


def _number(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
