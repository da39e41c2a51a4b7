"""Everything that an evaluation found, as the report and the JSON file tell it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluation.conversions import Score
from evaluation.ranking import RULE, Place, rank_models
from modules.common.metrics import EVALUATION_METRICS

FORMAT = 1  # of report.json


@dataclass(frozen=True)
class Sounds:
    """Where sounds lie, relative to the report.

    Attributes:
        result: The conversion.
        source: What was converted.
        resynthesis: The ceiling, see evaluation/resynthesis.py; "" for a clip.
    """

    result: str
    source: str
    resynthesis: str = ""


@dataclass(frozen=True)
class Judged:
    """The scores of one take.

    Attributes:
        model: Who sang.
        song: What.
        held_out: It is a clip of the voice, converted to its own voice.
        key: Semitones.
        seconds: Duration.
        joins: How many slices met.
        scores: By metric.
        sounds: To listen to.
        picture: PNG of the source above the result; b"" for none.
    """

    model: str
    song: str
    held_out: bool
    key: float
    seconds: float
    joins: int
    scores: Mapping[str, Score]
    sounds: Sounds
    picture: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Evaluation:
    """A whole evaluation.

    Attributes:
        models: Their files, by the names the report gives them.
        judged: One for each model and song or clip.
        missing: By metric, why it could not be judged.
        settings: What was asked for, in words.
    """

    models: Mapping[str, str]
    judged: tuple[Judged, ...]
    missing: Mapping[str, str]
    settings: Mapping[str, str]

    def means(self, model: str) -> dict[str, Score]:
        """Return a model's scores, each the mean over all songs or clips that have it."""
        rows = [take.scores for take in self.judged if take.model == model]
        return {
            name: Score(
                _mean(row[name].value for row in rows if name in row),
                _mean(row[name].reference for row in rows if name in row),
            )
            for name in EVALUATION_METRICS
        }

    def places(self) -> list[Place]:
        """Return the models, best first."""
        return rank_models(
            {m: {name: score.value for name, score in self.means(m).items()} for m in self.models}
        )

    def pairs(self, first: str, second: str, folder: Path) -> dict[str, tuple[Path, Path]]:
        """Return what two models made of each song, by its name; ``folder`` is that of the report."""
        made = {
            model: {
                take.song: folder / take.sounds.result
                for take in self.judged
                if take.model == model and not take.held_out
            }
            for model in (first, second)
        }
        return {song: (made[first][song], made[second][song]) for song in made[first]}

    def reason(self, name: str) -> str:
        """Return why a number is missing, as far as is known."""
        return self.missing.get(name, EVALUATION_METRICS[name].why_missing)

    def as_json(self) -> dict[str, Any]:
        """Return all of it but the pictures, as report.json holds it; a missing number is null."""
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
                    "name": place.model,
                    "path": self.models[place.model],
                    "rank": place.rank,
                    "group_ranks": dict(place.groups),
                    "means": _scores(self.means(place.model)),
                }
                for place in self.places()
            ],
            "takes": [
                {
                    "model": take.model,
                    "song": take.song,
                    "held_out": take.held_out,
                    "key": take.key,
                    "seconds": round(take.seconds, 3),
                    "joins": take.joins,
                    "scores": _scores(take.scores),
                    "sounds": vars(take.sounds),
                }
                for take in self.judged
            ],
        }


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return sum(known) / len(known) if known else math.nan


def _scores(scores: Mapping[str, Score]) -> dict[str, dict[str, float | None]]:
    return {
        name: {"value": _number(score.value), "reference": _number(score.reference)}
        for name, score in scores.items()
    }


def _number(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
