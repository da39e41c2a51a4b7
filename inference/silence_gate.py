"""What of a song is silent: its digital silence always, soft stretches only if nothing in them is sung.

Slicing leaves up to 5 s of silence beside the singing, as in the published
project, and a model still adds hum there. A recording is digitally silent only
where it was muted, so nothing is lost by a gate.

What slicing leaves out is softer than -sd. Where that is not 40 dB below the singing
too (-sd -40), hiss has no pitch, and soft singing has.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from inference.source import SourceAudio
from modules.dsp.slicer import FAINTEST, Range, SliceRule, limit_length, song_level
from modules.f0_predictor.base import F0Predictor

THRESHOLD = 1e-4  # RMS, -80 dBFS: above the noise of 16-bit dither (-96), far below any room
WINDOW = 0.02  # s, what the RMS is taken over: one period of the lowest voice
SHORTEST = 0.1  # s; a shorter gap may precede a plosive, which the model renders itself
FADE = 0.01  # s, at both ends of a silence, inside it
GATE_MARGIN = SHORTEST + FADE  # s; audio further away does not change the gain of a sample
SUNG = 0.2  # s of voiced frames from which a stretch is sung
SHARE = 0.1  # of its loud frames that must be voiced too; harvest takes 6 % of noise for voiced

logger = logging.getLogger(__name__)


def silence_gate(audio: np.ndarray, sampling_rate: int) -> np.ndarray:
    """Gain (T,), float32: 0 where the source ``audio`` (T,) is silent, 1 elsewhere, short ramps between.

    A silence is a stretch of at least 0.1 s in which every 20 ms have an RMS below
    -80 dBFS. A part of a recording has the gains of the whole but for its first
    and last ``GATE_MARGIN`` s.
    """
    window, fade = round(WINDOW * sampling_rate), round(FADE * sampling_rate)
    gain = np.ones(len(audio), np.float32)
    if len(audio) < window:
        return gain
    energy = np.concatenate([[0.0], np.cumsum(np.square(audio, dtype=np.float64))])
    silent = energy[window:] - energy[:-window] < THRESHOLD**2 * window
    edges = np.flatnonzero(np.diff(silent, prepend=False, append=False))
    ramp = np.linspace(1, 0, fade + 2, dtype=np.float32)[1:-1]
    for start, end in zip(edges[::2], edges[1::2] + window - 1, strict=True):
        if end - start >= SHORTEST * sampling_rate:
            gain[start:end] = 0
            gain[start : start + fade] = ramp
            gain[end - fade : end] = ramp[::-1]
    return gain


def song_gate(source: SourceAudio, start: int, end: int) -> np.ndarray:
    """Gain (end - start,) that keeps the digital silence of a song, of its samples ``start`` to ``end``."""
    margin = round(GATE_MARGIN * source.sampling_rate)
    audio = source.read(start - margin, end + margin)
    audio /= np.float32(source.softness)  # as if it were no softer than usual
    return silence_gate(audio, source.sampling_rate)[margin : margin + end - start]


def find_soft_singing(
    ranges: Iterable[Range], source: SourceAudio, predictor: F0Predictor, rule: SliceRule
) -> list[Range]:
    """``ranges`` of ``source``, of which silent ones are split where some of it is sung.

    ``rule`` is the one that was asked for, before :meth:`SliceRule.for_song`: its threshold is taken
    relative to the song's level here.
    """
    rate, hop = source.sampling_rate, rule.hop_length(source.sampling_rate)
    softest = song_level(source.rms) * 10.0 ** (rule.threshold / 20)
    found: list[Range] = []
    for piece in ranges:
        sung = []
        if piece.silent and (source.rms[piece.start // hop : -(-piece.end // hop)] > softest).any():
            parts = limit_length([Range(piece.start, piece.end, False)], source.rms, rate, rule)
            sung = [_is_sung(source, part, predictor, softest, hop) for part in parts]
        if any(sung):
            found += [Range(part.start, part.end, not of) for part, of in zip(parts, sung, strict=True)]
        else:
            found.append(piece)
    return found


def _is_sung(source: SourceAudio, part: Range, predictor: F0Predictor, softest: float, hop: int) -> bool:
    """Whether enough frames louder than ``softest`` have a pitch."""
    _, uv = predictor.predict(source.read(part.start, part.end))
    centres = part.start + np.arange(len(uv)) * predictor.hop_length
    loud = source.rms[np.minimum(centres // hop, len(source.rms) - 1)] > softest
    least = max(SUNG * source.sampling_rate / predictor.hop_length, SHARE * loud.sum())
    return bool((uv[loud] > 0).sum() >= least)


def warn_of_silence(result: Path, rms: np.ndarray, model_name: str, rule: SliceRule | None) -> None:
    """Log why ``result`` is silent, unless the song of the curve ``rms`` (R,) is too.

    ``rule`` is that of the slices if all of them are silent, else None.
    """
    if not rms.any():
        return
    decibels = 20 * np.log10(song_level(rms))
    if decibels < 20 * np.log10(FAINTEST):
        reason = f"the song's own level is {decibels:.0f} dB, which is that of noise; amplify it"
    elif rule:
        reason = f"with -sd {rule.threshold:g} all of the song counts as silence; lower it"
    else:
        reason = f"{model_name} renders silence, although the song's level is {decibels:.0f} dB"
    logger.warning("%s is silent: %s", result, reason)
