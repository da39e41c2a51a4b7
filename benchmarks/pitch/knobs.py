"""What each knob of a conversion does to the measure that it is for, on the synthetic singers.

    python -m benchmarks.pitch.knobs

"autotune": mean distance of the notes of songs sung 30 cents sharp from the scale, and the
extent of their vibrato. "formant": distance of a stretched log-mel from that of a singer with
another tract at the same pitch, voiced frames. "protect": level of breaths and voiceless
consonants against the voice, and how alike their waveform is to the source's, of a result that
lost 12 dB of them. "vibrato" and "octaves" are edits of an editor.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from benchmarks.measure import table
from evaluation.evaluators.expression import find_vibrato, note_spans
from inference.pitch.edit import mend_octaves, reshape, tune
from inference.pitch.scale import parse_scale
from inference.timbre.formant import PER_SEMITONE, shift_matrix
from inference.timbre.protection import keep_unvoiced
from modules.config import DataConfig
from modules.dsp.f0 import transpose
from modules.dsp.mel import LogMel
from modules.dsp.notes import find_notes
from synthetic_voice import SINGERS, Performance, compose, sing

RATE, HOP = 44100, 512
FRAMES = RATE / HOP
SECONDS = 6.0
SHARP = 0.3  # semitones
LOST = 0.25  # of the amplitude of unvoiced sounds, -12 dB


def main() -> None:
    """Print a table for each knob."""
    songs = [sing(compose(name, SECONDS, 1), name, 1) for name in SINGERS]
    print_autotune(songs)
    print_formant()
    print_protect(songs)
    print_edits(songs)


def _curve(song: Performance) -> np.ndarray:
    return song.f0_at(np.arange(int(SECONDS * FRAMES)) / FRAMES).astype(np.float32)


def vibrato_extent(f0: np.ndarray, spans: list[tuple[int, int]]) -> float:
    """Mean extent of vibrato in ``spans``, cents; a span without has 0."""
    found = find_vibrato(f0, spans, FRAMES)
    return float(np.mean([of.extent if of else 0.0 for of in found]))


def print_autotune(songs: list[Performance]) -> None:
    """Print distance from the scale and vibrato by strength."""
    scale = parse_scale("chromatic")
    assert scale is not None
    rows = []
    for strength in (0.0, 0.5, 1.0):
        away, swing = [], []
        for song in songs:
            sharp = transpose(_curve(song), SHARP)
            tuned = tune(sharp, FRAMES, strength, scale)
            away += [abs(note.pitch - scale.nearest(note.pitch)) for note in find_notes(tuned, FRAMES)]
            swing.append(vibrato_extent(tuned, note_spans(sharp, FRAMES)))
        rows.append([f"{strength:g}", f"{100 * np.mean(away):.0f} cents", f"{np.mean(swing):.0f} cents"])
    table(["`--autotune`", "notes from the scale", "vibrato"], rows)
    print()


def print_formant() -> None:
    """Print how near a stretched mel is to another tract's."""
    data = DataConfig()
    mel = LogMel(data)

    def log_mel(audio: np.ndarray) -> np.ndarray:
        found: np.ndarray = mel(torch.from_numpy(audio)[None])[0].numpy()
        return found

    rows = []
    for shift in (2.0, -2.0, 4.0, -4.0):
        before, after = [], []
        for name in ("tomas", "noor"):
            score, singer = compose(name, SECONDS, 2), SINGERS[name]
            truth = sing(score, replace(singer, tract=singer.tract / 2 ** (shift / 12)), 2)
            target, plain = log_mel(truth.audio), log_mel(sing(score, singer, 2).audio)
            lower = log_mel(sing(score.transposed(-shift), singer, 2).audio)
            voiced = truth.voiced_at((np.arange(target.shape[1]) + 0.5) / FRAMES)
            shifted = shift_matrix(data, shift) @ lower - PER_SEMITONE * shift
            before.append(np.abs(plain - target)[:, voiced].mean())
            after.append(np.abs(shifted - target)[:, voiced].mean())
        rows.append([f"{shift:+g}", f"{np.mean(before):.2f}", f"{np.mean(after):.2f}"])
    table(["`--formant`", "distance of the other tract without, natural log", "with"], rows)
    print()


def print_protect(songs: list[Performance]) -> None:
    """Print level and likeness of unvoiced sounds."""
    rows = []
    for strength in (0.0, 0.5, 1.0):
        levels, alike = [], []
        for number, song in enumerate(songs):
            uv = (_curve(song) > 0).astype(np.float32)
            audio = song.audio[: len(uv) * HOP]
            voiced = np.repeat(uv, HOP) > 0
            unvoiced = ~voiced & (np.abs(audio) > 0)
            noise = np.random.default_rng(number).standard_normal(len(audio))
            level = np.sqrt(np.square(audio[unvoiced]).mean())
            result = np.where(voiced, audio, LOST * level * noise * unvoiced).astype(np.float32)
            if strength:
                result = keep_unvoiced(result, audio, uv, HOP, RATE, strength)
            own = np.square(result[unvoiced]).mean() / np.square(result[voiced]).mean()
            true = np.square(audio[unvoiced]).mean() / np.square(audio[voiced]).mean()
            levels.append(10 * np.log10(own / true))
            alike.append(np.corrcoef(result[unvoiced], audio[unvoiced])[0, 1])
        rows.append([f"{strength:g}", f"{np.mean(levels):+.1f} dB", f"{np.mean(alike):.2f}"])
    table(["`--protect`", "unvoiced sounds re the source's", "correlation with them"], rows)
    print()


def print_edits(songs: list[Performance]) -> None:
    """Print what the edits of a range do."""
    rows = []
    for factor in (0.0, 1.0, 2.0):
        found = [
            vibrato_extent(reshape(f0, FRAMES, factor), note_spans(f0, FRAMES)) for f0 in map(_curve, songs)
        ]
        rows.append([f"vibrato × {factor:g}", f"extent {np.mean(found):.0f} cents"])
    mended = []
    for f0 in map(_curve, songs):
        wrong, middle = f0.copy(), len(f0) // 2
        span = slice(middle, middle + round(FRAMES))
        wrong[span] *= 2
        voiced = f0[span] > 0
        fixed = mend_octaves(wrong, FRAMES, span.start, span.stop)
        mended.append(np.isclose(fixed[span], f0[span], rtol=1e-3)[voiced].mean())
    rows.append(["octaves of a second", f"{100 * np.mean(mended):.0f} % of its frames are right again"])
    table(["edit", "effect"], rows)


if __name__ == "__main__":
    main()
