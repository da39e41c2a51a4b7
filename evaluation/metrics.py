"""Every number of a report: what it is called, which way is better, and what it stands beside.

The report, the ranking and the documentation read this table; the judges
(evaluation/evaluators/) fill it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evaluation.evaluators.pitch import PitchScore, pitch_score  # demo.py asks for them here

__all__ = ["GROUPS", "METRICS", "Metric", "PitchScore", "pitch_score"]

SOURCE = "the source itself"
RESYNTHESIS = "WORLD resynthesis of the source"
COPY = "the vocoder alone, from the recording's mel"


@dataclass(frozen=True)
class Metric:
    """What a number means.

    Attributes:
        title: For people, with the unit.
        group: What it is about; groups count alike in the ranking.
        better: Which way is better; "" for numbers that only inform, and are not ranked.
        digits: Shown after the point; numbers that look alike are alike in the ranking.
        meaning: One sentence.
        reference: What the score stands beside; "" for nothing.
        nothing: Why it may be missing although it was looked for.
    """

    title: str
    group: str
    better: Literal["higher", "lower", ""]
    digits: int
    meaning: str
    reference: str = ""
    nothing: str = "nothing in these songs to measure it on"

    def show(self, value: float) -> str:
        """Return ``value`` as the report prints it; a dash for NaN."""
        return "–" if value != value else f"{value:.{self.digits}f}"


GROUPS = {
    "melody": "Melody",
    "voice": "Voice",
    "words": "Words",
    "likeness": "Likeness to recordings",
    "sound": "Sound",
    "defects": "Defects",
    "": "Not ranked",
}

METRICS: dict[str, Metric] = {
    "f0_accuracy": Metric(
        "F0 within 50 cents",
        "melody",
        "higher",
        3,
        "Share of the source's voiced frames whose pitch, moved by the key, the result hits (raw pitch "
        "accuracy, heard by harvest).",
        RESYNTHESIS,
    ),
    "f0_cents": Metric(
        "mean F0 error, cents",
        "melody",
        "lower",
        1,
        "Mean distance where both are voiced; a few slips by an octave, of the voice or of the judge, "
        "rule it.",
        RESYNTHESIS,
    ),
    "voicing": Metric(
        "voicing agreement",
        "melody",
        "higher",
        3,
        "Share of all frames that are voiced in both or in neither.",
        RESYNTHESIS,
    ),
    "similarity_target": Metric(
        "similarity to target",
        "voice",
        "higher",
        3,
        "Cosine of Resemblyzer's embeddings of the result and of the target's recordings, their mean.",
        SOURCE,
    ),
    "similarity_source": Metric(
        "similarity to source",
        "voice",
        "lower",
        3,
        "The same with the source; should lie below the similarity to the target.",
    ),
    "word_error": Metric(
        "word error",
        "words",
        "lower",
        3,
        "Errors per word of the given text, of a recogniser (pocketsphinx, US English) that may hear only "
        "the words of the given texts, in any order.",
        SOURCE,
    ),
    "phone_error": Metric(
        "phone error against the source",
        "words",
        "lower",
        3,
        "How far the phones that pocketsphinx (US English) hears differ from those it hears in the source; "
        "not from what was sung.",
        RESYNTHESIS,
    ),
    "mcd": Metric(
        "mel-cepstral distortion, dB",
        "likeness",
        "lower",
        2,
        "Distance of the spectral envelopes of held-out clips and of their conversion to their own voice.",
        COPY,
    ),
    "dnsmos_ovrl": Metric(
        "DNSMOS OVRL, 1–5",
        "sound",
        "higher",
        2,
        "A network's guess at a listener's score (P.835, overall); made for noisy speech.",
        SOURCE,
    ),
    "dnsmos_p808": Metric(
        "DNSMOS P.808, 1–5",
        "sound",
        "higher",
        2,
        "The same by the recipe of P.808.",
        SOURCE,
    ),
    "silence_leak": Metric(
        "silence leak, dB",
        "defects",
        "lower",
        1,
        "Level where the source rests, below that of the singing.",
        SOURCE,
        "the songs never rest",
    ),
    "clicks_at_seams": Metric(
        "clicks at seams",
        "defects",
        "lower",
        2,
        "Jumps at the joins of slices, per join; consonants count too.",
        SOURCE,
        "no song was cut into slices",
    ),
    "clicks_elsewhere": Metric(
        "clicks elsewhere, per minute",
        "",
        "",
        1,
        "Jumps that are at no join; most are consonants.",
        SOURCE,
    ),
    "loudness": Metric("loudness, LUFS", "", "", 1, "Integrated loudness (BS.1770).", SOURCE),
    "real_time_factor": Metric(
        "real-time factor",
        "",
        "",
        2,
        "Seconds of work per second of song on this machine, as busy as it was.",
    ),
}
