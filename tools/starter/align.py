"""The phones of a recording of known words, by pocketsphinx."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np

from tools.starter import phones

RATE = 16000


def aligned(audio: np.ndarray, text: str) -> tuple[np.ndarray, np.ndarray] | None:
    """End in seconds and class of every phone of ``audio`` (T,) at 16 kHz, or None if the text does not fit.

    The text is English; a word that the dictionary lacks does not fit.
    """
    decoder = _load_decoder()
    words = re.sub(r"[^a-z' ]", " ", text.lower().replace("-", " ")).split()
    words = [word.strip("'") if decoder.lookup_word(word) is None else word for word in words]
    if not words or any(not word or decoder.lookup_word(word) is None for word in words):
        return None
    samples = (np.clip(audio, -1, 1) * 32767).astype("<i2").tobytes()
    try:
        decoder.set_align_text(" ".join(words))
        _run(decoder, samples)
        if decoder.hyp() is None:
            return None
        decoder.set_alignment()
        _run(decoder, samples)
        segments = [phone for word in decoder.get_alignment() for phone in word]
    except RuntimeError:
        return None
    ends = np.array([phone.start + phone.duration for phone in segments]) / 100
    return ends, np.array([phones.of_arpabet(phone.name) for phone in segments])


@cache
def _load_decoder() -> Any:
    import pocketsphinx

    return pocketsphinx.Decoder(samprate=RATE, bestpath=False, lm=None, loglevel="FATAL")


def _run(decoder: Any, samples: bytes) -> None:
    decoder.reinit_feat()  # or the noise estimate of the previous clip is subtracted from this one
    decoder.start_utt()
    decoder.process_raw(samples, full_utt=True)
    decoder.end_utt()
