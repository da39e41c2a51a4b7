"""The table of evaluators: one line for each, with the metrics that it computes.

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
from modules.common.progress import progress_bar
from modules.common.registry import PartSpec, Registry
from modules.dsp.f0 import transpose


@dataclass(frozen=True)
class EvaluatorSpec(PartSpec):
    """One evaluator.

    Attributes:
        metrics: What it computes, keys of modules/common/metrics.py.
        applies_to: Converted songs, or held-out clips that were converted to their own voice.
    """

    metrics: tuple[str, ...]
    applies_to: Literal["songs", "clips"] = "songs"


EVALUATORS: Registry[EvaluatorSpec] = Registry(
    "evaluator",
    {
        "melody": EvaluatorSpec("evaluation.evaluators.pitch:Melody", ("f0_accuracy", "f0_cents", "voicing")),
        "target": EvaluatorSpec("evaluation.evaluators.similarity:TargetSimilarity", ("similarity_target",)),
        "source": EvaluatorSpec("evaluation.evaluators.similarity:SourceSimilarity", ("similarity_source",)),
        "words": EvaluatorSpec("evaluation.evaluators.words:WordErrors", ("word_error",)),
        "phones": EvaluatorSpec("evaluation.evaluators.words:PhoneErrors", ("phone_error",)),
        "likeness": EvaluatorSpec("evaluation.evaluators.cloning:Distortion", ("mcd",), "clips"),
        "naturalness": EvaluatorSpec(
            "evaluation.evaluators.naturalness:Naturalness", ("dnsmos_ovrl", "dnsmos_p808")
        ),
        "silence": EvaluatorSpec("evaluation.evaluators.silence:SilenceLeakage", ("silence_leak",)),
        "clicks": EvaluatorSpec(
            "evaluation.evaluators.clicks:Clicks", ("clicks_at_seams", "clicks_elsewhere")
        ),
        "loudness": EvaluatorSpec("evaluation.evaluators.loudness:Loudness", ("loudness",)),
        "speed": EvaluatorSpec("evaluation.evaluators.loudness:Speed", ("real_time_factor",)),
    },
)


def build_evaluators(inputs: EvalInputs) -> tuple[dict[str, Evaluator], dict[str, str]]:
    """Evaluators that can run, by name, and why other metrics are missing, by metric."""
    evaluators: dict[str, Evaluator] = {}
    missing: dict[str, str] = {}
    for name, spec in EVALUATORS.items():
        try:
            evaluators[name] = EVALUATORS.build(name, inputs)
        except Unavailable as reason:
            missing.update(dict.fromkeys(spec.metrics, str(reason)))
    return evaluators, missing


def evaluate_conversion(
    model: str,
    conversion: Conversion,
    held_out: bool,
    sounds: SoundFiles,
    evaluators: Mapping[str, Evaluator],
) -> EvalResult:
    """Scores of a conversion, and a picture of it if it is a song.

    Args:
        model: Name of the model.
        conversion: Its output.
        held_out: It is a clip of the target voice, converted to the same voice.
        sounds: Its files.
        evaluators: From :func:`build_evaluators`.
    """
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
