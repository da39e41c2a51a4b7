"""Who judges: one line for each, which says what numbers it gives.

A judge whose package is not installed, or who lacks something that the user can
give, says so when it is built; its rows of the report then say it, and the
others judge on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from evaluation.conversions import Score, Take
from evaluation.evaluators.base import Given, Judge, Unavailable
from evaluation.picture import draw_comparison
from evaluation.results import Judged, Sounds
from modules.common.progress import progress_bar
from modules.common.registry import Registry
from modules.dsp.f0 import transpose


@dataclass(frozen=True)
class JudgeSpec:
    """One judge.

    Attributes:
        target: "module:Class", imported on first use.
        metrics: What it fills, keys of modules/common/metrics.py.
        hears: Converted songs, or held-out clips that were converted to their own voice.
    """

    target: str
    metrics: tuple[str, ...]
    hears: Literal["songs", "clips"] = "songs"


JUDGES: Registry[JudgeSpec] = Registry(
    "judge",
    {
        "melody": JudgeSpec("evaluation.evaluators.pitch:Melody", ("f0_accuracy", "f0_cents", "voicing")),
        "target": JudgeSpec("evaluation.evaluators.similarity:TargetSimilarity", ("similarity_target",)),
        "source": JudgeSpec("evaluation.evaluators.similarity:SourceSimilarity", ("similarity_source",)),
        "words": JudgeSpec("evaluation.evaluators.words:Words", ("word_error",)),
        "phones": JudgeSpec("evaluation.evaluators.words:Phones", ("phone_error",)),
        "likeness": JudgeSpec("evaluation.evaluators.cloning:Distortion", ("mcd",), "clips"),
        "naturalness": JudgeSpec(
            "evaluation.evaluators.naturalness:Naturalness", ("dnsmos_ovrl", "dnsmos_p808")
        ),
        "silence": JudgeSpec("evaluation.evaluators.silence:Silence", ("silence_leak",)),
        "clicks": JudgeSpec("evaluation.evaluators.clicks:Clicks", ("clicks_at_seams", "clicks_elsewhere")),
        "loudness": JudgeSpec("evaluation.evaluators.loudness:Loudness", ("loudness",)),
        "speed": JudgeSpec("evaluation.evaluators.loudness:Speed", ("real_time_factor",)),
    },
)


def build_judges(given: Given) -> tuple[dict[str, Judge], dict[str, str]]:
    """Return the judges that can judge, by name, and why numbers are missing, by metric."""
    judges: dict[str, Judge] = {}
    missing: dict[str, str] = {}
    for name, spec in JUDGES.items():
        try:
            judges[name] = JUDGES.build(name, given)
        except Unavailable as reason:
            missing.update(dict.fromkeys(spec.metrics, str(reason)))
    return judges, missing


def judge_take(model: str, take: Take, held_out: bool, sounds: Sounds, judges: Mapping[str, Judge]) -> Judged:
    """Return what the judges say of a take, and a picture of it if it is a song.

    Args:
        model: Who sang.
        take: What.
        held_out: It is a clip of the voice, converted to its own voice.
        sounds: Where it can be heard.
        judges: From :func:`build_judges`.
    """
    song, kind = take.song, "clips" if held_out else "songs"
    scores: dict[str, Score] = {}
    chosen = [name for name in judges if JUDGES[name].hears == kind]
    for name in progress_bar(chosen, desc=f"judging {song.name}", unit="judge"):
        scores.update(judges[name].judge(take))
    sung = song.f0 * (song.uv > 0)
    panels = {"source": (song.audio, sung), "result": (take.audio, transpose(sung, song.key))}
    return Judged(
        model=model,
        song=song.name,
        held_out=held_out,
        key=song.key,
        seconds=len(song.audio) / song.sampling_rate,
        joins=len(take.joins),
        scores=scores,
        sounds=sounds,
        picture=b"" if held_out else draw_comparison(panels, song.sampling_rate, song.hop_length),
    )
