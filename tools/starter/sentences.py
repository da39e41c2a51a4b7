"""What the synthetic voices say: words of CMU's dictionary in random order.

Sense is not needed, variety of sounds is. Common words come often, as in speech.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

_COMMON = """
the of and to a in is you that it he was for on are as with his they I at be this have from or one had
by word but not what all were we when your can said there use an each which she do how their if will up
other about out many then them these so some her would make like him into time has look two more write
go see number no way could people my than first water been call who oil its now find long down day did
get come made may part over new sound take only little work know place year live me back give most very
after thing our just name good sentence man think say great where help through much before line right
too mean old any same tell boy follow came want show also around form three small set put end does
another well large must big even such because turn here why ask went men read need land different home
us move try kind hand picture again change off play spell air away animal house point page letter mother
answer found study still learn
""".split()


class Sentences:
    """Sentences without end.

    Args:
        rng: What draws them; equal states give equal sentences.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        import pocketsphinx

        self._rng = rng
        dictionary = Path(str(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict")))
        words = [line.split()[0] for line in dictionary.read_text(encoding="utf-8").splitlines()]
        self._rare = [word for word in words if word.isalpha() and 3 <= len(word) <= 10]

    def next(self) -> str:
        """Return a sentence of five to eleven words."""
        words = [
            words[self._rng.integers(len(words))]
            for words in (_COMMON if self._rng.random() < 0.5 else self._rare for _ in range(self._length()))
        ]
        if len(words) > 7:
            words[4] += ","
        return " ".join(words) + "."

    def _length(self) -> int:
        return int(self._rng.integers(5, 12))
