"""The table of evaluators; modules/common/metrics.py has the metrics of each.

An evaluator whose package or input is missing raises when it is built; the
report then gives the reason in its rows, and the others are not affected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from evaluation.conversions import Conversion, EvalScore
from evaluation.evaluators.base import EvalInputs, Evaluator, Unavailable
from evaluation.picture import draw_comparison
from evaluation.results import EvalResult, SoundFiles
from modules.common.metrics import EVALUATION_METRICS
from modules.common.progress import progress_bar
from modules.common.registry import PartSpec, Registry
from modules.dsp.f0 import transpose


@dataclass(frozen=True)
class EvaluatorSpec(PartSpec):
    """One evaluator."""

    applies_to: Literal["songs", "clips"] = "songs"  # held-out clips are converted to their own voice


EVALUATORS: Registry[EvaluatorSpec] = Registry(
    "evaluator",
    {
        "melody": EvaluatorSpec("evaluation.evaluators.pitch:Melody"),
        "expression": EvaluatorSpec("evaluation.evaluators.expression:Expression"),
        "target": EvaluatorSpec("evaluation.evaluators.similarity:TargetSimilarity"),
        "source": EvaluatorSpec("evaluation.evaluators.similarity:SourceSimilarity"),
        "words": EvaluatorSpec("evaluation.evaluators.words:WordErrors"),
        "likeness": EvaluatorSpec("evaluation.evaluators.cloning:Distortion", applies_to="clips"),
        "naturalness": EvaluatorSpec("evaluation.evaluators.naturalness:Naturalness"),
        "distilled": EvaluatorSpec("evaluation.evaluators.naturalness:DistilledNaturalness"),
        "silence": EvaluatorSpec("evaluation.evaluators.silence:SilenceLeakage"),
        "clicks": EvaluatorSpec("evaluation.evaluators.clicks:Clicks"),
        "loudness": EvaluatorSpec("evaluation.evaluators.loudness:Loudness"),
        "speed": EvaluatorSpec("evaluation.evaluators.loudness:Speed"),
    },
)


def build_evaluators(inputs: EvalInputs) -> tuple[dict[str, Evaluator], dict[str, str]]:
    """Evaluators that can run, by name, and why other metrics are missing, by metric."""
    evaluators: dict[str, Evaluator] = {}
    missing: dict[str, str] = {}
    for name in EVALUATORS:
        try:
            evaluators[name] = EVALUATORS.build(name, inputs)
        except Unavailable as reason:
            missing |= {key: str(reason) for key, m in EVALUATION_METRICS.items() if m.evaluator == name}
    return evaluators, missing


def evaluate_conversion(
    model: str,
    conversion: Conversion,
    held_out: bool,
    sounds: SoundFiles,
    evaluators: Mapping[str, Evaluator],
) -> EvalResult:
    """Scores of a conversion, and a picture of it if it is a song; ``evaluators`` are built ones."""
    song, kind = conversion.song, "clips" if held_out else "songs"
    scores: dict[str, EvalScore] = {}
    chosen = [name for name in evaluators if EVALUATORS[name].applies_to == kind]
    for name in progress_bar(chosen, desc=f"evaluating {song.name}", unit="evaluator"):
        scores.update(evaluators[name].evaluate(conversion))
    f0 = song.f0 * (song.uv > 0)
    panels = {"source": (song.audio, f0), "result": (conversion.audio, transpose(f0, song.key))}
    return EvalResult(
        model=model,
        song=song.name,
        held_out=held_out,
        key=song.key,
        seconds=len(song.audio) / song.sampling_rate,
        joins=len(conversion.joins),
        scores=scores,
        sounds=sounds,
        picture=b"" if held_out else draw_comparison(panels, song.sampling_rate, song.hop_length),
    )
