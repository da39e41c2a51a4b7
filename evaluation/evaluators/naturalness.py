"""Naturalness: a network's estimate of listeners' scores."""

from __future__ import annotations

import numpy as np

from evaluation.conversions import NAN, SourceSong
from evaluation.evaluators.base import EvalInputs, ReferencedEvaluator, importing
from modules.dsp.audio import resample

RATE = 16000  # Hz, of DNSMOS
MIN_SAMPLES = RATE // 10


def dnsmos(audio: np.ndarray, sampling_rate: int) -> tuple[float, float]:
    """OVRL of P.835 and the score of P.808 of ``audio`` (T,), 1 to 5; NaN for less than 0.1 s.

    DNSMOS (Reddy et al., 2021 and 2022) analyses 16 kHz, and was trained on speech
    after noise suppression. It varies by 0.2 between equally good renderings of
    one song.

    Raises:
        Unavailable: speechmos is not installed.
    """
    with importing("speechmos"):
        from speechmos import dnsmos as network
    audio = resample(audio, sampling_rate, RATE)
    if len(audio) < MIN_SAMPLES:
        return NAN, NAN
    score = network.run(np.clip(audio, -1, 1), RATE)
    return float(score["ovrl_mos"]), float(score["p808_mos"])


class Naturalness(ReferencedEvaluator):
    """DNSMOS of a result, beside that of its source."""

    def __init__(self, inputs: EvalInputs) -> None:
        super().__init__(inputs)
        with importing("speechmos"):
            import speechmos  # noqa: F401

    def measure(self, audio: np.ndarray, song: SourceSong) -> dict[str, float]:
        """Numbers "dnsmos_ovrl" and "dnsmos_p808"."""
        overall, p808 = dnsmos(audio, song.sampling_rate)
        return {"dnsmos_ovrl": overall, "dnsmos_p808": p808}
