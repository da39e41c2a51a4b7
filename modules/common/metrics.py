"""All metrics: what each is called, which direction is better, and where it is computed.

The one table that training (``train.best_by``, metrics.csv, TensorBoard), the
evaluation report and the web page read. Names are columns of metrics.csv, keys of
report.json and, as ``validation/<name>``, TensorBoard tags.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# the training step before a validation; every validation; those chosen by train.score_every
Place = Literal["training", "validation", "scored_validation"]

SOURCE = "the source itself"
RESYNTHESIS = "WORLD resynthesis of the source"
COPY = "the vocoder alone, from the recording's mel"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric; an empty text stands for none."""

    label: str  # English, with the unit
    label_zh: str
    better: Literal["higher", "lower", ""]  # "": it only informs, and is not ranked
    meaning: str  # one sentence
    computed_in: tuple[Place, ...] = ()
    evaluator: str = ""  # name in evaluation/evaluators of what computes it for the report
    group: str = ""  # what it is about; groups have equal weight in the ranking
    digits: int = 3  # decimals shown; values equal as printed tie in the ranking
    reference: str = ""  # what the report compares it with
    why_missing: str = "nothing in these songs to measure it on"  # although it was computed

    def show(self, value: float) -> str:
        """Format ``value`` with this metric's decimals; a dash for NaN."""
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
    "train_loss": Metric(
        label="training loss",
        label_zh="训练损失",
        better="lower",
        computed_in=("training",),
        meaning="The total loss of the last training step.",
    ),
    "val_loss": Metric(
        label="validation loss",
        label_zh="验证损失",
        better="lower",
        computed_in=("validation",),
        meaning="What training minimises, on the validation clips.",
    ),
    "mle": Metric(
        label="likelihood loss",
        label_zh="似然损失",
        better="",
        computed_in=("validation",),
        meaning="The flow's part of the validation loss.",
    ),
    "lf0": Metric(
        label="F0 predictor loss",
        label_zh="音高预测损失",
        better="",
        computed_in=("validation",),
        meaning="The F0 predictor's part of the validation loss, before c_lf0.",
    ),
    "mel_l1": Metric(
        label="mel L1 error",
        label_zh="梅尔差异",
        better="lower",
        computed_in=("validation",),
        meaning="Mean absolute difference of the generated and the recorded log-mel, natural log.",
    ),
    "audio_mel_l1": Metric(
        label="mel L1 error of the audio",
        label_zh="声音的梅尔差异",
        better="lower",
        computed_in=("validation",),
        meaning="The same for the log-mel of the vocoder's output.",
    ),
    "f0_accuracy": Metric(
        label="F0 within 50 cents",
        label_zh="音高准确率",
        better="higher",
        computed_in=("validation",),
        evaluator="melody",
        meaning="Share of the source's voiced frames whose pitch, in the new key, the result matches (raw "
        "pitch accuracy, estimated with harvest; during training with pm).",
        group="melody",
        reference=RESYNTHESIS,
    ),
    "f0_cents": Metric(
        label="mean F0 error, cents",
        label_zh="平均音高误差（音分）",
        better="lower",
        evaluator="melody",
        meaning="Mean distance where both are voiced; a few octave errors, of the voice or of the F0 "
        "predictor, dominate it.",
        group="melody",
        digits=1,
        reference=RESYNTHESIS,
    ),
    "voicing": Metric(
        label="voicing agreement",
        label_zh="清浊音一致率",
        better="higher",
        evaluator="melody",
        meaning="Share of all frames that are voiced in both or in neither.",
        group="melody",
        reference=RESYNTHESIS,
    ),
    "vibrato_rate": Metric(
        label="vibrato rate, Hz",
        label_zh="颤音频率（Hz）",
        better="",
        evaluator="expression",
        meaning="Swings per second of the notes that have vibrato in the source (harvest).",
        digits=2,
        reference=SOURCE,
    ),
    "vibrato_extent": Metric(
        label="vibrato extent, cents",
        label_zh="颤音幅度（音分）",
        better="",
        evaluator="expression",
        meaning="Distance of its turning points from the middle, in the same notes; without vibrato 0.",
        digits=0,
        reference=SOURCE,
    ),
    "glissando": Metric(
        label="speed of glides, semitones/s",
        label_zh="滑音速度（半音/秒）",
        better="",
        evaluator="expression",
        meaning="The steepest 50 ms between two notes that touch: the median over the source's steps of over "
        "a semitone.",
        digits=0,
        reference=SOURCE,
    ),
    "breath_level": Metric(
        label="breaths and consonants, dB",
        label_zh="呼吸与清辅音（dB）",
        better="",
        evaluator="expression",
        meaning="Level where the source is unvoiced and not silent, relative to where it is voiced.",
        digits=1,
        reference=SOURCE,
    ),
    "similarity": Metric(
        label="similarity to the recording",
        label_zh="与录音的音色相似度",
        better="higher",
        computed_in=("scored_validation",),
        meaning="Cosine of Resemblyzer's embeddings of the rendered validation clip and of its recording.",
    ),
    "similarity_target": Metric(
        label="similarity to target",
        label_zh="与目标音色的相似度",
        better="higher",
        evaluator="target",
        meaning="Cosine of Resemblyzer's embeddings of the result and of the target's recordings (mean).",
        group="voice",
        reference=SOURCE,
    ),
    "similarity_source": Metric(
        label="similarity to source",
        label_zh="与源音色的相似度",
        better="lower",
        evaluator="source",
        meaning="The same with the source; should lie below the similarity to the target.",
        group="voice",
    ),
    "word_error": Metric(
        label="word error",
        label_zh="词错误率",
        better="lower",
        evaluator="words",
        meaning="Errors per word of the given text (per character in Chinese, Japanese and other languages "
        "without spaces) in what Whisper base recognises.",
        group="words",
        reference=SOURCE,
        why_missing="give the words of the songs: --text WORDS",
    ),
    "transcript_error": Metric(
        label="word error against the source",
        label_zh="与源的词差异",
        better="lower",
        computed_in=("scored_validation",),
        evaluator="words",
        meaning="The same against what Whisper recognises in the source; not against what was sung.",
        group="words",
        reference=RESYNTHESIS,
        why_missing="no words are recognised in these songs",
    ),
    "mcd": Metric(
        label="mel-cepstral distortion, dB",
        label_zh="梅尔倒谱失真（dB）",
        better="lower",
        computed_in=("validation",),
        evaluator="likeness",
        meaning="Distance of the spectral envelopes of held-out clips and of their conversion to their own "
        "voice.",
        group="likeness",
        digits=2,
        reference=COPY,
    ),
    "dnsmos_ovrl": Metric(
        label="DNSMOS OVRL, 1–5",
        label_zh="DNSMOS OVRL（1–5）",
        better="higher",
        computed_in=("scored_validation",),
        evaluator="naturalness",
        meaning="A network's estimate of a listener's score (P.835, overall); made for noisy speech.",
        group="sound",
        digits=2,
        reference=SOURCE,
    ),
    "dnsmos_p808": Metric(
        label="DNSMOS P.808, 1–5",
        label_zh="DNSMOS P.808（1–5）",
        better="higher",
        evaluator="naturalness",
        meaning="The same by the recipe of P.808.",
        group="sound",
        digits=2,
        reference=SOURCE,
    ),
    "distillmos": Metric(
        label="DistillMOS, 1–5",
        label_zh="DistillMOS（1–5）",
        better="higher",
        computed_in=("scored_validation",),
        evaluator="distilled",
        meaning="Another network's estimate of a listener's score, distilled from XLS-R.",
        group="sound",
        digits=2,
        reference=SOURCE,
    ),
    "silence_leak": Metric(
        label="noise in silences, dB",
        label_zh="静音泄漏（dB）",
        better="lower",
        evaluator="silence",
        meaning="Level where the source is silent, relative to that of the singing.",
        group="defects",
        digits=1,
        reference=SOURCE,
        why_missing="no silence in these songs",
    ),
    "clicks_at_seams": Metric(
        label="clicks at seams",
        label_zh="接缝处的爆音",
        better="lower",
        evaluator="clicks",
        meaning="Jumps at the joins of slices, per join; consonants count too.",
        group="defects",
        digits=2,
        reference=SOURCE,
        why_missing="no song was cut into slices",
    ),
    "clicks_elsewhere": Metric(
        label="clicks elsewhere, per minute",
        label_zh="其他爆音（每分钟）",
        better="",
        evaluator="clicks",
        meaning="Jumps that are at no join; most are consonants.",
        digits=1,
        reference=SOURCE,
    ),
    "loudness": Metric(
        label="loudness, LUFS",
        label_zh="响度（LUFS）",
        better="",
        evaluator="loudness",
        meaning="Integrated loudness (BS.1770).",
        digits=1,
        reference=SOURCE,
    ),
    "real_time_factor": Metric(
        label="real-time factor",
        label_zh="实时率",
        better="",
        evaluator="speed",
        meaning="Seconds of work per second of song on this machine, under its present load.",
        digits=2,
    ),
}


def computed_in(*places: Place) -> dict[str, Metric]:
    """Metrics that any of ``places`` computes, by name."""
    return {name: metric for name, metric in METRICS.items() if set(places) & set(metric.computed_in)}


EVALUATION_METRICS = {name: metric for name, metric in METRICS.items() if metric.evaluator}
SCORED = tuple(computed_in("scored_validation"))
BEST_BY = tuple(  # what G_best.pth may be chosen by
    name for name, metric in computed_in("validation", "scored_validation").items() if metric.better
)
