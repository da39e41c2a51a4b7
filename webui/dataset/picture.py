"""Plots of a data set: lengths of its recordings and pitch ranges of its speakers.

SVG in the page: names of any script need no fonts on this machine, colours follow the
theme, and no file is written.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from modules.dsp.f0 import F0_MAX, F0_MIN
from webui.dataset.recordings import Recording, SpeakerSummary
from webui.language import Say

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _ROW = 460, 170, 36, 24, 36
_STEPS = (0.5, 1, 2, 5, 10, 20, 60, 120, 300)  # s, widths of a bar
_MOST_BARS = 24
_NOTES = (65.41, 130.81, 261.63, 523.25, 1046.5)  # Hz, C2 to C6
_TEXT = 'fill="currentColor" font-size="12"'


def draw_dataset(recordings: Sequence[Recording], speakers: Sequence[SpeakerSummary], say: Say) -> str:
    """Both plots as HTML, with titles from ``say``."""
    pictures = (
        (
            say("dataset.lengths"),
            _lengths([recording.seconds for recording in recordings if recording.seconds > 0]),
        ),
        (say("dataset.ranges"), _ranges([speaker for speaker in speakers if speaker.f0])),
    )
    parts = [
        f'<figure style="flex:1 1 320px;margin:0;min-width:0"><figcaption>{html.escape(title)}</figcaption>'
        f"{picture}</figure>"
        for title, picture in pictures
        if picture
    ]
    return f'<div style="display:flex;flex-wrap:wrap;gap:16px">{"".join(parts)}</div>'


def _lengths(seconds: Sequence[float]) -> str:
    """Histogram of durations."""
    if not seconds:
        return ""
    step = next((step for step in _STEPS if max(seconds) / step < _MOST_BARS), _STEPS[-1])
    counts = [0] * (min(_MOST_BARS, int(max(seconds) / step)) + 1)
    for value in seconds:
        counts[min(len(counts) - 1, int(value / step))] += 1
    width = (_WIDTH - _LEFT - _RIGHT) / len(counts)
    top, base = 12, _HEIGHT - 24
    marks = []
    for i, count in enumerate(counts):
        height = (base - top) * count / max(counts)
        marks.append(
            f'<rect x="{_LEFT + i * width + 1:.1f}" y="{base - height:.1f}" width="{width - 2:.1f}" '
            f'height="{height:.1f}" fill="var(--color-accent)"><title>{i * step:g}–{(i + 1) * step:g} s: '
            f"{count}</title></rect>"
        )
    every = math.ceil((len(counts) + 1) / 8)
    for i in range(0, len(counts) + 1, every):
        marks.append(_label(_LEFT + i * width, _HEIGHT - 6, f"{i * step:g} s", "middle"))
    marks.append(_label(_LEFT - 6, top + 10, str(max(counts)), "end"))
    return _svg(_HEIGHT, marks)


def _ranges(speakers: Sequence[SpeakerSummary]) -> str:
    """A bar from the 5th to the 95th percentile of F0 for each speaker, with a tick at the median."""
    if not speakers:
        return ""
    height = _ROW * len(speakers) + 26
    marks = []
    for hz in _NOTES:
        x = _position(hz)
        marks.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height - 22}" stroke="currentColor" opacity=".2"/>'
        )
        marks.append(_label(x, height - 6, f"{hz:.0f} Hz", "middle"))
    for i, speaker in enumerate(speakers):
        assert speaker.f0
        low, middle, high = map(_position, speaker.f0)
        y = i * _ROW + 18
        facts = " / ".join(f"{hz:.0f}" for hz in speaker.f0)
        marks.append(_label(4, y - 4, f"{speaker.speaker}  {facts} Hz", "start"))
        marks.append(
            f'<rect x="{low:.1f}" y="{y}" width="{max(2.0, high - low):.1f}" height="9" rx="3" '
            f'fill="var(--color-accent)"/><rect x="{middle - 1.5:.1f}" y="{y - 1}" width="3" height="11" '
            'fill="currentColor"/>'
        )
    return _svg(height, marks)


def _position(hz: float) -> float:
    share = math.log(hz / F0_MIN) / math.log(F0_MAX / F0_MIN)
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * min(1.0, max(0.0, share))


def _label(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {_TEXT}>{html.escape(text)}</text>'


def _svg(height: int, marks: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" style="width:100%;height:auto" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(marks)}</svg>'
    )
