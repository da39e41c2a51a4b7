"""How clean a sound is, as a network guesses what listeners would say."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from evaluation.conversions import Score, Song, Take
from evaluation.evaluators.base import Given, Judge, importing
from modules.dsp.audio import resample

RATE = 16000  # Hz, of DNSMOS
_LEAST = RATE // 10  # samples


def dnsmos(audio: np.ndarray, sampling_rate: int) -> tuple[float, float]:
    """Return OVRL of P.835 and the score of P.808 of ``audio`` (T,), 1 to 5; NaN for less than 0.1 s.

    DNSMOS (Reddy et al., 2021 and 2022) hears 16 kHz, and was made for speech that
    a noise suppressor has cleaned. It swings by 0.2 between equally good
    renderings of one song.

    Raises:
        Unavailable: speechmos is not installed.
    """
    with importing("speechmos"):
        from speechmos import dnsmos as network
    heard = resample(audio, sampling_rate, RATE)
    if len(heard) < _LEAST:
        return float("nan"), float("nan")
    score = network.run(np.clip(heard, -1, 1), RATE)
    return float(score["ovrl_mos"]), float(score["p808_mos"])


@lru_cache(maxsize=8)
def _of_source(song: Song) -> tuple[float, float]:
    return dnsmos(song.audio, song.sampling_rate)


class Naturalness(Judge):
    """DNSMOS of a result, beside that of its source."""

    def __init__(self, given: Given) -> None:
        super().__init__(given)
        with importing("speechmos"):
            import speechmos  # noqa: F401

    def judge(self, take: Take) -> dict[str, Score]:
        """Return "dnsmos_ovrl" and "dnsmos_p808"."""
        made, before = dnsmos(take.audio, take.song.sampling_rate), _of_source(take.song)
        return {"dnsmos_ovrl": Score(made[0], before[0]), "dnsmos_p808": Score(made[1], before[1])}
