"""A synthetic singer: songs for the demo, and test signals with known ground truth.

The exact pitch of a recording is unknown, and so is the same song in another voice.
Here both are known:

    >>> score = compose("tomas", seconds=8, seed=1)
    >>> source = sing(score, "tomas")
    >>> source.f0_at(np.arange(100) * 512 / 44100)  # Hz, 0 where unvoiced
    >>> target = sing(score.transposed(12), "sofia", style="tomas")  # an ideal conversion
"""

from synthetic_voice.compose import compose
from synthetic_voice.dataset import write_dataset
from synthetic_voice.performance import Performance, sing
from synthetic_voice.score import MusicScore, Note, Phone, Syllable
from synthetic_voice.singers import SINGERS, SyntheticSinger

__all__ = [
    "SINGERS",
    "Note",
    "Performance",
    "Phone",
    "MusicScore",
    "SyntheticSinger",
    "Syllable",
    "compose",
    "sing",
    "write_dataset",
]
