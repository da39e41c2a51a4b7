"""Which of several models is best, by a rule that anyone can follow with a pencil."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from modules.common.metrics import EVALUATION_METRICS, GROUPS

RULE = (
    "Models are ranked by each number on its own (numbers that print alike tie), then by the mean of these "
    "ranks in each group, then by the mean over the groups. A number that is missing for one model counts "
    "for none."
)


@dataclass(frozen=True)
class Place:
    """Where a model stands.

    Attributes:
        model: Its name.
        rank: Mean over the groups, 1 at best.
        groups: Mean rank in each group that could be judged.
    """

    model: str
    rank: float
    groups: Mapping[str, float]


def rank_models(means: Mapping[str, Mapping[str, float]]) -> list[Place]:
    """Return the models, best first; equals keep their order.

    Args:
        means: Values by model and metric; NaN is missing.
    """
    from scipy.stats import rankdata

    models = list(means)
    by_group: dict[str, list[list[float]]] = {}
    for name, metric in EVALUATION_METRICS.items():
        values = [means[model].get(name, math.nan) for model in models]
        if not metric.better or not all(map(math.isfinite, values)):
            continue
        sign = -1 if metric.better == "higher" else 1
        shown = [sign * float(metric.show(value)) for value in values]
        by_group.setdefault(metric.group, []).append(rankdata(shown).tolist())
    places = []
    for index, model in enumerate(models):
        groups = {
            group: sum(ranks[index] for ranks in by_group[group]) / len(by_group[group])
            for group in GROUPS
            if group in by_group
        }
        rank = sum(groups.values()) / len(groups) if groups else 1.0
        places.append(Place(model, rank, groups))
    return sorted(places, key=lambda place: place.rank)


def best_of(name: str, values: Mapping[str, float]) -> set[str]:
    """Return which models are best by the metric ``name``; none where nothing is to choose."""
    metric = EVALUATION_METRICS[name]
    shown = {model: float(metric.show(value)) for model, value in values.items() if math.isfinite(value)}
    if not metric.better or len(shown) < 2 or len(set(shown.values())) == 1:
        return set()
    best = max(shown.values()) if metric.better == "higher" else min(shown.values())
    return {model for model, value in shown.items() if value == best}
