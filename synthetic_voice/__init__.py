"""A synthetic singer: songs for the demo, and a fixture that knows the truth.

Recorded singing can be listened to, but nobody knows its exact pitch, nor what
the same song sounds like from another throat. Here both are known:

    >>> score = compose("tomas", seconds=8, seed=1)
    >>> source = sing(score, "tomas")
    >>> source.f0_at(np.arange(100) * 512 / 44100)  # Hz, 0 where unvoiced
    >>> answer = sing(score.transposed(12), "sofia", style="tomas")  # what a conversion should give
"""

from synthetic_voice.compose import compose
from synthetic_voice.dataset import write_dataset
from synthetic_voice.performance import Performance, sing
from synthetic_voice.score import Note, Phone, Score, Syllable
from synthetic_voice.singers import SINGERS, Singer

__all__ = [
    "SINGERS",
    "Note",
    "Performance",
    "Phone",
    "Score",
    "Singer",
    "Syllable",
    "compose",
    "sing",
    "write_dataset",
]
