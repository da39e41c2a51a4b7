"""Speaker similarity: cosine of speaker embeddings.

Resemblyzer's encoder (a GE2E network, Wan et al., 2018) was trained to tell
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

from evaluation.conversions import NAN, Conversion, EvalScore, SourceSong
from evaluation.evaluators.base import EvalInputs, Evaluator, Unavailable, importing
from modules.common.progress import progress_bar
from modules.dsp.audio import read_audio

MIN_SAMPLES = 1600  # at 16 kHz


@lru_cache(maxsize=1)
def load_encoder() -> Any:
    """Resemblyzer's speaker encoder, loaded once.

    Raises:
        Unavailable: Resemblyzer is not installed.
    """
    with importing("resemblyzer"):
        from resemblyzer import VoiceEncoder

        return VoiceEncoder("cpu", verbose=False)


def embed(audio: np.ndarray, sampling_rate: int) -> np.ndarray | None:
    """Embedding (256,), of length 1, of the voice in ``audio`` (T,); None: no voice is found.

    Raises:
        Unavailable: Resemblyzer is not installed.
    """
    encoder = load_encoder()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # division by zero in silence
        from resemblyzer import preprocess_wav

        if not audio.any():
            return None
        voiced = preprocess_wav(audio.astype(np.float32), source_sr=sampling_rate)
    return encoder.embed_utterance(voiced) if len(voiced) >= MIN_SAMPLES else None


def embed_voice(recordings: Sequence[Path]) -> np.ndarray | None:
    """Mean embedding (256,), of length 1, of several recordings; None: no voice is found.

    Raises:
        AudioError: One cannot be read.
        Unavailable: Resemblyzer is not installed.
    """
    bar = progress_bar(recordings, desc="embedding the target voice", unit="clip")
    voices = [voice for path in bar if (voice := embed(*read_audio(path))) is not None]
    if not voices:
        return None
    mean = np.mean(voices, axis=0)
    return mean / np.linalg.norm(mean)


def cosine(one: np.ndarray | None, other: np.ndarray | None) -> float:
    """Cosine of two embeddings of length 1; NaN where one is missing."""
    return NAN if one is None or other is None else float(one @ other)


@lru_cache(maxsize=16)
def _embedding(sound: SourceSong | Conversion) -> np.ndarray | None:
    return embed(sound.audio, sound.sampling_rate)


class TargetSimilarity(Evaluator):
    """Cosine of a result to the mean of the target's recordings, beside that of its source."""

    def __init__(self, inputs: EvalInputs) -> None:
        super().__init__(inputs)
        if not inputs.target:
            raise Unavailable("give recordings of the voice: --target FOLDER")
        self._target = embed_voice(inputs.target)
        if self._target is None:
            raise Unavailable("no voice is found in the recordings of --target")

    def evaluate(self, conversion: Conversion) -> dict[str, EvalScore]:
        """Score "similarity_target"."""
        sounds = conversion, conversion.song
        return {"similarity_target": EvalScore(*(cosine(_embedding(x), self._target) for x in sounds))}


class SourceSimilarity(Evaluator):
    """Cosine of a result to its source."""

    def __init__(self, inputs: EvalInputs) -> None:
        super().__init__(inputs)
        load_encoder()

    def evaluate(self, conversion: Conversion) -> dict[str, EvalScore]:
        """Score "similarity_source"."""
        return {"similarity_source": EvalScore(cosine(_embedding(conversion), _embedding(conversion.song)))}
