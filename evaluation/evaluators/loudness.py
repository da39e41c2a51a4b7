"""How loud a result is, and how fast it was made: facts that no ranking should rest on."""

from __future__ import annotations

import math

from evaluation.conversions import Score, Take
from evaluation.evaluators.base import Judge
from modules.dsp.loudness import integrated_loudness


class Loudness(Judge):
    """Integrated loudness of the result, beside that of the song."""

    def judge(self, take: Take) -> dict[str, Score]:
        """Return "loudness"; NaN for silence."""
        rate = take.song.sampling_rate
        made, before = (integrated_loudness(audio, rate) for audio in (take.audio, take.song.audio))
        return {"loudness": Score(*(x if math.isfinite(x) else math.nan for x in (made, before)))}


class Speed(Judge):
    """Seconds of work per second of song, as the conversion counted them."""

    def judge(self, take: Take) -> dict[str, Score]:
        """Return "real_time_factor"."""
        return {"real_time_factor": Score(take.real_time_factor)}
