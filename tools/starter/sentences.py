"""Texts for speech synthesis: words of CMU's dictionary in random order.

They need no meaning, but a variety of sounds. Common words are frequent, as in speech.
"""

from __future__ import annotations

from collections.abc import Iterator
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


def random_sentences(rng: np.random.Generator) -> Iterator[str]:
    """Yield sentences of five to eleven words indefinitely; equal states of ``rng`` give equal sentences."""
    import pocketsphinx

    dictionary = Path(str(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict")))
    entries = [line.split()[0] for line in dictionary.read_text(encoding="utf-8").splitlines()]
    rare = [word for word in entries if word.isalpha() and 3 <= len(word) <= 10]
    while True:
        sources = (_COMMON if rng.random() < 0.5 else rare for _ in range(rng.integers(5, 12)))
        words = [source[rng.integers(len(source))] for source in sources]
        if len(words) > 7:
            words[4] += ","
        yield " ".join(words) + "."
