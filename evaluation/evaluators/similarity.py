"""Whose voice is heard: distances of speaker embeddings.

Resemblyzer's encoder (a GE2E network, Wan et al., 2018) was made to tell
speakers of English apart. Two recordings of one voice reach 0.8 to 0.95, two
voices 0.5 to 0.7; sung and spoken recordings of one voice are farther apart.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.conversions import Score, Song, Take
from evaluation.evaluators.base import Given, Judge, Unavailable, importing
from modules.common.progress import progress_bar
from modules.dsp.audio import read_audio

_LEAST = 1600  # samples at 16 kHz that a voice takes at least


@lru_cache(maxsize=1)
def _encoder() -> Any:
    with importing("resemblyzer"):
        from resemblyzer import VoiceEncoder

        return VoiceEncoder("cpu", verbose=False)


def embed(audio: np.ndarray, sampling_rate: int) -> np.ndarray | None:
    """Return the embedding (256,), of length 1, of the voice in ``audio`` (T,); None: no voice is heard.

    Raises:
        Unavailable: Resemblyzer is not installed.
    """
    encoder = _encoder()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of division, where all is silent
        from resemblyzer import preprocess_wav

        if not audio.any():
            return None
        heard = preprocess_wav(audio.astype(np.float32), source_sr=sampling_rate)
    return encoder.embed_utterance(heard) if len(heard) >= _LEAST else None


def embed_voice(recordings: Sequence[Path]) -> np.ndarray | None:
    """Return the mean embedding (256,), of length 1, of several recordings; None: no voice is heard.

    Raises:
        AudioError: One cannot be read.
        Unavailable: Resemblyzer is not installed.
    """
    bar = progress_bar(recordings, desc="hearing the voice", unit="clip")
    voices = [voice for path in bar if (voice := embed(*read_audio(path))) is not None]
    if not voices:
        return None
    mean = np.mean(voices, axis=0)
    return mean / np.linalg.norm(mean)


def cosine(one: np.ndarray | None, other: np.ndarray | None) -> float:
    """Return the cosine of two embeddings of length 1; NaN where there is none."""
    return float("nan") if one is None or other is None else float(one @ other)


@lru_cache(maxsize=8)
def _of_result(take: Take) -> np.ndarray | None:
    return embed(take.audio, take.song.sampling_rate)


@lru_cache(maxsize=8)
def _of_source(song: Song) -> np.ndarray | None:
    return embed(song.audio, song.sampling_rate)


class TargetSimilarity(Judge):
    """Cosine of a result to the mean of the target's recordings, beside that of its source."""

    def __init__(self, given: Given) -> None:
        super().__init__(given)
        if not given.target:
            raise Unavailable("give recordings of the voice: --target FOLDER")
        self._target = embed_voice(given.target)
        if self._target is None:
            raise Unavailable("no voice is heard in the recordings of --target")

    def judge(self, take: Take) -> dict[str, Score]:
        """Return "similarity_target"."""
        result, source = _of_result(take), _of_source(take.song)
        return {"similarity_target": Score(cosine(result, self._target), cosine(source, self._target))}


class SourceSimilarity(Judge):
    """Cosine of a result to its source."""

    def __init__(self, given: Given) -> None:
        super().__init__(given)
        _encoder()

    def judge(self, take: Take) -> dict[str, Score]:
        """Return "similarity_source"."""
        return {"similarity_source": Score(cosine(_of_result(take), _of_source(take.song)))}
