"""Ranking of several models, by a rule simple enough to check by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from modules.common.metrics import EVALUATION_METRICS, GROUPS

RULE = (
    "Models are ranked by each number on its own (numbers equal as printed tie), then by the mean of these "
    "ranks in each group, then by the mean over the groups. A number that is missing for one model counts "
    "for none."
)


@dataclass(frozen=True)
class RankedModel:
    """Rank of one model."""

    model: str
    rank: float  # mean over the groups, 1 at best
    groups: Mapping[str, float]  # mean rank in each group that was measured


def _as_printed(name: str, value: float) -> float:
    """``value`` as the report rounds it, negated where lower is better."""
    metric = EVALUATION_METRICS[name]
    return float(metric.show(value)) * (1 if metric.better == "higher" else -1)


def rank_models(means: Mapping[str, Mapping[str, float]]) -> list[RankedModel]:
    """Models by rank, best first; ties keep their order.

    Args:
        means: Values by model and metric; NaN is missing.
    """
    from scipy.stats import rankdata

    ranks: dict[str, list[list[float]]] = {}  # by group: those of all models, by each metric
    for name, metric in EVALUATION_METRICS.items():
        values = [means[model].get(name, math.nan) for model in means]
        if metric.better and all(map(math.isfinite, values)):
            row = rankdata([-_as_printed(name, value) for value in values]).tolist()
            ranks.setdefault(metric.group, []).append(row)
    ranked = []
    for index, model in enumerate(means):
        columns = {group: [row[index] for row in ranks[group]] for group in GROUPS if group in ranks}
        groups = {group: sum(column) / len(column) for group, column in columns.items()}
        ranked.append(RankedModel(model, sum(groups.values()) / len(groups) if groups else 1.0, groups))
    return sorted(ranked, key=lambda entry: entry.rank)


def best_of(name: str, values: Mapping[str, float]) -> set[str]:
    """Models that are best by the metric ``name``; none where there is no difference."""
    if not EVALUATION_METRICS[name].better:
        return set()
    printed = {model: _as_printed(name, value) for model, value in values.items() if math.isfinite(value)}
    if len(set(printed.values())) < 2:
        return set()
    return {model for model, value in printed.items() if value == max(printed.values())}
