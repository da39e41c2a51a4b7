"""Facts of a data set, so that a bad recording is found before training.

Each step adds its part to ``report.json`` in the data set's folder and prints it as a table.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modules.common.files import write_json
from modules.dsp.blocks import Samples, blocks
from modules.dsp.loudness import integrated_loudness

if TYPE_CHECKING:
    from modules.dataset.f0_survey import F0Survey

_CLIPPED_RUN = 4  # samples in a row at full scale; sound itself rarely stays there for more than two
_FULL_SCALE = 32766 / 32768
_SHOWN = 20  # recordings left out


def measure(audio: Samples, sampling_rate: int) -> dict[str, Any]:
    """Facts of one clip ``audio`` (T,): seconds, LUFS (None if silent), whether it clips."""
    lufs = integrated_loudness(audio, sampling_rate)
    return {
        "seconds": round(len(audio) / sampling_rate, 3),
        "lufs": round(lufs, 1) if math.isfinite(lufs) else None,
        "clipped": is_clipped(audio),
    }


def is_clipped(audio: Samples) -> bool:
    """Whether ``audio`` (T,) stays at full scale for several samples in a row."""
    run = _CLIPPED_RUN
    for block in blocks(audio, overlap=run - 1):
        loud = np.abs(block) >= _FULL_SCALE
        starts = range(max(0, len(loud) - run + 1))
        if np.all([loud[first : first + len(starts)] for first in range(run)], axis=0).any():
            return True
    return False


def summarize(
    clips: Mapping[str, Sequence[Mapping[str, Any]]],
    skipped: Iterable[str] = (),
    f0: Mapping[str, F0Survey] | None = None,
) -> dict[str, Any]:
    """The report as JSON values, of the facts of each speaker's clips, from :func:`measure`.

    ``skipped`` has a line for each recording left out, ``f0`` what is known of each speaker's F0.
    """
    speakers = {}
    for name, facts in clips.items():
        seconds = [clip["seconds"] for clip in facts]
        loudness = [clip["lufs"] for clip in facts if clip["lufs"] is not None]
        if not seconds:
            continue
        speakers[name] = {
            "clips": len(facts),
            "minutes": round(sum(seconds) / 60, 2),
            "seconds": [min(seconds), round(statistics.median(seconds), 3), max(seconds)],
            "lufs": round(statistics.median(loudness), 1) if loudness else None,
            "clipped": sum(clip["clipped"] for clip in facts),
        }
        if f0 is not None:
            speakers[name] |= {"f0": f0[name].range, "voiced": round(f0[name].voiced, 3)}
    return {"speakers": speakers, "skipped": sorted(skipped)}


def as_text(report: Mapping[str, Any]) -> str:
    """The report as a table; names stand last, so that wide letters do not break its columns."""
    with_f0 = any("f0" in facts for facts in report["speakers"].values())
    lines = ["clips  minutes  shortest/median/longest s   LUFS  clipped"]
    lines[0] += "   F0 5/50/95 % Hz  voiced  speaker" if with_f0 else "  speaker"
    for name, facts in report["speakers"].items():
        lengths = " / ".join(f"{seconds:.1f}" for seconds in facts["seconds"])
        lufs = "-" if facts["lufs"] is None else f"{facts['lufs']:.1f}"
        line = (
            f"{facts['clips']:5d}  {facts['minutes']:7.1f}  {lengths:>25}  {lufs:>5}  {facts['clipped']:7d}"
        )
        if with_f0:
            f0 = " / ".join(f"{hz:.0f}" for hz in facts["f0"]) if facts["f0"] else "-"
            line += f"  {f0:>16}  {facts['voiced']:>5.0%} "
        lines.append(f"{line}  {name}")
    skipped = report["skipped"]
    if skipped:
        lines.append(f"left out: {len(skipped)}")
        lines += [f"  {line}" for line in skipped[:_SHOWN]]
        if len(skipped) > _SHOWN:
            lines.append(f"  and {len(skipped) - _SHOWN} more")
    return "\n".join(lines)


def save_report(folder: str | Path, step: str, report: Mapping[str, Any]) -> Path:
    """Write the part of ``step`` into ``<folder>/report.json``, beside the parts of other steps."""
    path = Path(folder) / "report.json"
    try:
        parts = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        parts = {}
    write_json(path, {**parts, step: dict(report)})
    return path
