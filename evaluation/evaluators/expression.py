"""Expression: vibrato, glides between notes, and breaths, in the result and in the source.

A conversion that hits every note may still flatten what makes it singing. All is measured on
the frames of the source's own pitch (vibrato, glides) or sound (breaths), in result and source alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluation.conversions import NAN, SourceSong
from evaluation.evaluators.base import ReferencedEvaluator
from evaluation.evaluators.silence import FRAME, find_silence, frame_levels
from modules.dsp.notes import find_notes
from modules.dsp.semitones import runs, smooth, to_semitones
from modules.f0_predictor import F0_PREDICTORS

TRACKER = "harvest"  # as of the melody
RATES = (3.0, 9.0)  # Hz, of a vibrato
SHORTEST = 0.35  # s of a note with vibrato: two of its periods
SHALLOWEST = 10.0  # cents; less is no vibrato
_CENTRE = 0.3  # s, over which vibrato is averaged
_EDGE = 0.05  # s at either end of a note that belong to a glide
_BOUND = 100.0  # cents, of a step between two notes; smaller ones are no glide
_AROUND = 0.15  # s on either side of the middle of a glide


@dataclass(frozen=True)
class Vibrato:
    """Of one note."""

    rate: float  # Hz
    extent: float  # cents, from the centre to a turning point
    weight: float  # s of the note


def find_vibrato(f0: np.ndarray, spans: list[tuple[int, int]], frame_rate: float) -> list[Vibrato | None]:
    """Vibrato of the curve ``f0`` (N,), Hz, 0 where unvoiced, in each of ``spans`` of frames; None: none.

    The rate is the highest peak of the spectrum of a note's deviation from its slow course, the extent
    that of the sine which carries the same power around it.
    """
    pitch = 100 * to_semitones(f0)  # cents
    found: list[Vibrato | None] = []
    for start, stop in spans:
        note = pitch[start:stop]
        if len(note) < SHORTEST * frame_rate or not np.isfinite(note).all():
            found.append(None)
            continue
        swing = note - smooth(note, _CENTRE, frame_rate)
        trim = round(0.25 * _CENTRE * frame_rate)
        swing = swing[trim : len(swing) - trim] if len(swing) > 4 * trim else swing
        window = np.hanning(len(swing) + 2)[1:-1]
        size = 16 * len(swing)
        spectrum = np.abs(np.fft.rfft((swing - swing.mean()) * window, size)) / window.sum() * 2
        hertz = np.fft.rfftfreq(size, 1 / frame_rate)
        inside = (hertz >= RATES[0]) & (hertz <= RATES[1])
        peak = int(np.argmax(np.where(inside, spectrum, 0)))
        extent = float(spectrum[peak]) / (1 - _left(float(hertz[peak]), frame_rate))
        strong = extent >= SHALLOWEST
        found.append(Vibrato(float(hertz[peak]), extent, len(note) / frame_rate) if strong else None)
    return found


def _left(hertz: float, frame_rate: float) -> float:
    """Share of a sine that stays in the slow course, which is the mean under a Hann window."""
    half = round(_CENTRE * frame_rate / 2)
    kernel = np.hanning(2 * half + 3)[1:-1]
    return float(kernel @ np.cos(2 * np.pi * hertz * np.arange(-half, half + 1) / frame_rate) / kernel.sum())


def note_spans(f0: np.ndarray, frame_rate: float) -> list[tuple[int, int]]:
    """First and last (excluded) frame of the steady part of each note of a curve (N,), Hz."""
    edge = round(_EDGE * frame_rate)
    spans = [
        (round(note.start * frame_rate) + edge, round(note.end * frame_rate) - edge)
        for note in find_notes(f0, frame_rate)
    ]
    return [(start, stop) for start, stop in spans if stop > start]


def glide_spans(f0: np.ndarray, frame_rate: float) -> list[tuple[int, int]]:
    """Frames around each step of over a semitone between two notes of a curve (N,), Hz, that touch."""
    notes, reach = find_notes(f0, frame_rate), round(_AROUND * frame_rate)
    middles = [
        round(before.end * frame_rate)
        for before, after in zip(notes, notes[1:], strict=False)
        if after.start - before.end < 1.5 / frame_rate and 100 * abs(after.pitch - before.pitch) >= _BOUND
    ]
    return [(max(0, middle - reach), min(len(f0), middle + reach)) for middle in middles]


def glide_speed(f0: np.ndarray, spans: list[tuple[int, int]], frame_rate: float) -> float:
    """Median over ``spans`` of the steepest 50 ms of a curve (N,), semitones/s; NaN without any."""
    pitch, step = to_semitones(f0), max(1, round(0.05 * frame_rate))
    speeds = []
    for start, stop in spans:
        change = np.abs(pitch[start + step : stop] - pitch[start : stop - step])
        change = change[np.isfinite(change) & (change < 11)]  # no octave error
        if len(change):
            speeds.append(change.max() / step * frame_rate)
    return float(np.median(speeds)) if speeds else NAN


def breath_level(audio: np.ndarray, breaths: np.ndarray, voiced: np.ndarray, sampling_rate: int) -> float:
    """Level of ``audio`` (T,) in the frames ``breaths`` (F,) relative to those ``voiced`` (F,), dB."""
    power = 10 ** (frame_levels(audio, sampling_rate) / 10)
    n = min(len(power), len(breaths), len(voiced))
    power, breaths, voiced = power[:n], breaths[:n], voiced[:n]
    if not breaths.any() or not voiced.any() or power[voiced].mean() <= 1e-12:
        return NAN
    return float(10 * np.log10(max(power[breaths].mean(), 1e-12) / power[voiced].mean()))


class Expression(ReferencedEvaluator):
    """Vibrato, glissando and breaths of a result, beside those of its source."""

    def measure(self, audio: np.ndarray, song: SourceSong) -> dict[str, float]:
        """Numbers "vibrato_rate", "vibrato_extent", "glissando" and "breath_level"."""
        frame_rate = song.sampling_rate / song.hop_length
        tracker = F0_PREDICTORS.build(TRACKER, sampling_rate=song.sampling_rate, hop_length=song.hop_length)
        f0, uv = tracker.predict(audio.astype(np.float32), len(song.f0))
        own, heard = song.f0 * (song.uv > 0), f0 * uv
        spans = note_spans(own, frame_rate)
        where = [span for span, of in zip(spans, find_vibrato(own, spans, frame_rate), strict=True) if of]
        vibrato = [of for of in find_vibrato(heard, where, frame_rate) if of]
        rate = extent = NAN
        if where:
            total = sum(stop - start for start, stop in where) / frame_rate
            extent = sum(of.extent * of.weight for of in vibrato) / total  # none counts as 0
        if vibrato:
            rate = float(np.average([of.rate for of in vibrato], weights=[of.weight for of in vibrato]))
        breaths, voiced = _masks(song)
        return {
            "vibrato_rate": rate,
            "vibrato_extent": extent,
            "glissando": glide_speed(heard, glide_spans(own, frame_rate), frame_rate),
            "breath_level": breath_level(audio, breaths, voiced, song.sampling_rate),
        }


def _masks(song: SourceSong) -> tuple[np.ndarray, np.ndarray]:
    """Frames of 20 ms of the source with unvoiced sound, and with voice, (F,)."""
    levels = frame_levels(song.audio, song.sampling_rate)
    times = (np.arange(len(levels)) + 0.5) * FRAME
    frames = np.minimum(
        np.rint(times * song.sampling_rate / song.hop_length).astype(int), max(0, len(song.uv) - 1)
    )
    voiced = song.uv[frames] > 0 if len(song.uv) else np.zeros(len(levels), bool)
    unvoiced = ~voiced & ~find_silence(levels)
    for start, stop in runs(unvoiced):
        unvoiced[start : start + 1] = unvoiced[stop - 1 : stop] = False  # has a part of its neighbour
    return unvoiced, voiced
