"""The report of an evaluation as a web page that needs no network, and as JSON."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2

from evaluation.conversions import NAN, EvalScore
from evaluation.ranking import RULE, best_of
from evaluation.results import EvalResult, Evaluation
from modules.common.files import write_json, write_text
from modules.common.metrics import EVALUATION_METRICS, GROUPS

PAGES = Path(__file__).parent / "pages"
TITLE_WIDTH = 30  # characters


def page(name: str, **values: Any) -> str:
    """Render the template ``name`` of evaluation/pages; all text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGES, encoding="utf-8"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["address"] = lambda path: quote(str(path).replace("\\", "/"))
    return environment.get_template(name).render(**values)


def write_report(evaluation: Evaluation, folder: Path, ab_page: str = "") -> tuple[Path, Path]:
    """Write report.html and report.json into ``folder``; return their paths.

    Args:
        evaluation: The results; their sounds are in ``folder`` already.
        folder: Output folder.
        ab_page: A page for blind listening, relative to ``folder``, if there is one.
    """
    ranking = evaluation.ranking()
    order = [entry.model for entry in ranking]
    means = {model: evaluation.means(model) for model in order}
    by_song: dict[tuple[bool, str], list[EvalResult]] = {}
    for result in sorted(evaluation.results, key=lambda result: order.index(result.model)):
        by_song.setdefault((result.held_out, result.song), []).append(result)
    html = page(
        "report.html",
        evaluation=evaluation,
        ranking=ranking,
        groups=GROUPS,
        metrics=EVALUATION_METRICS,
        rule=RULE,
        order=order,
        rows=_rows(evaluation, means),
        songs=[
            (name, results, _rows(evaluation, {r.model: r.scores for r in results}, brief=True))
            for (held_out, name), results in by_song.items()
            if not held_out
        ],
        clips=[(name, results) for (held_out, name), results in by_song.items() if held_out],
        picture=lambda result: base64.b64encode(result.picture).decode(),
        ab_page=ab_page,
    )
    paths = folder / "report.html", folder / "report.json"
    write_text(paths[0], html)
    write_json(paths[1], evaluation.as_json())
    return paths


def summary(evaluation: Evaluation) -> list[str]:
    """Table of the numbers as lines of text, the best model first."""
    order = [entry.model for entry in evaluation.ranking()]
    scores = {model: evaluation.means(model) for model in order}
    width = max(map(len, ("reference", *order)))
    lines = [f"{'':<{TITLE_WIDTH}}" + "".join(f"  {name:>{width}}" for name in (*order, "reference"))]
    for rows in _rows(evaluation, scores).values():
        for row in rows:
            shown = [text + ("*" if best else " ") for text, best in row["cells"]] + [row["reference"] + " "]
            cells = "".join(f"  {text:>{width}}" for text in shown)
            title = f"{row['metric'].label:<{TITLE_WIDTH}}"
            lines.append(title + (f"  {row['reason']}" if row["reason"] else cells.rstrip()))
    return lines


def _rows(
    evaluation: Evaluation, scores: Mapping[str, Mapping[str, EvalScore]], brief: bool = False
) -> dict[str, list[dict[str, Any]]]:
    """Rows of a table by group; ``brief`` leaves out what is missing."""
    nothing = EvalScore(NAN)
    table: dict[str, list[dict[str, Any]]] = {}
    for name, metric in EVALUATION_METRICS.items():
        values = {model: row.get(name, nothing).value for model, row in scores.items()}
        missing = all(value != value for value in values.values())
        if missing and brief:
            continue
        best = best_of(name, values)
        references = [row.get(name, nothing).reference for row in scores.values()]
        reference = next((value for value in references if value == value), NAN)
        table.setdefault(metric.group, []).append(
            {
                "metric": metric,
                "cells": [(metric.show(value), model in best) for model, value in values.items()],
                "reference": metric.show(reference) if metric.reference else "",
                "reason": evaluation.reason(name) if missing else "",
            }
        )
    return {group: table[group] for group in GROUPS if group in table}
