"""Words of a recording, as Whisper base recognises them, in any of its languages.

Greedy decoding without times, in windows of at most 30 s. The language is given, so
that recordings that are compared are recognised alike.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import copy
from functools import lru_cache
from typing import cast

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import GenerationConfig, GenerationMixin, WhisperFeatureExtractor
from transformers.modeling_outputs import BaseModelOutput

from evaluation.whisper_base import find_file, load_whisper
from modules.common.errors import ConfigError
from modules.dsp.audio import resample
from modules.dsp.slicer import Range, limit_length, measure

RATE = 16000  # Hz
MIN_SAMPLES = RATE // 10
MAX_TOKENS_PER_SECOND = 15  # fast speech has 10; a repetition without end has to be short
_MIN_TOKENS = 10  # that may be said in a short window


class Transcriber:
    """Whisper base with its vocabulary.

    Raises:
        MissingWeightsError: Its packages are not installed.
        CheckpointError: They hold something else.
    """

    def __init__(self) -> None:
        self._network = load_whisper()
        self._tokenizer = Tokenizer.from_file(str(find_file(2, "tokenizer.json")))
        config = json.loads(find_file(2, "config.json").read_text(encoding="utf-8"))
        self._languages = {
            str(self._tokenizer.id_to_token(token))[2:-2]: token for token in config["lang_ids"]
        }
        self._start, *self._task, end = map(
            self._tokenizer.token_to_id,
            ("<|startoftranscript|>", "<|transcribe|>", "<|notimestamps|>", "<|endoftext|>"),
        )
        self._generation = GenerationConfig(
            eos_token_id=end,
            pad_token_id=end,
            bos_token_id=end,
            suppress_tokens=config["suppress_ids"],
            begin_suppress_tokens=config["suppress_ids_begin"],
        )
        self._features = WhisperFeatureExtractor(feature_size=self._network.config.num_mel_bins)

    def check_language(self, language: str) -> None:
        """Raise ConfigError if Whisper has no language of this code."""
        if language not in self._languages:
            known = " ".join(sorted(self._languages))
            raise ConfigError(f"--language: Whisper has no {language!r}; its languages are {known}")

    @torch.inference_mode()
    def detect_language(self, audio: np.ndarray, sampling_rate: int) -> str:
        """Code of the language of ``audio`` (T,), by its first 30 s; "en" for silence."""
        for window in _windows(audio, sampling_rate):
            prompt = torch.tensor([[self._start]])
            logits = self._network(encoder_outputs=self._encode(window), decoder_input_ids=prompt).logits
            return max(self._languages, key=lambda code: float(logits[0, -1, self._languages[code]]))
        return "en"

    @torch.inference_mode()
    def transcribe(self, audio: np.ndarray, sampling_rate: int, language: str) -> str:
        """Text of ``audio`` (T,); "" for silence."""
        prompt = torch.tensor([[self._start, self._languages[language], *self._task]])
        texts = []
        for window in _windows(audio, sampling_rate):
            rule = copy(self._generation)
            rule.max_new_tokens = min(
                _MIN_TOKENS + round(MAX_TOKENS_PER_SECOND * len(window) / RATE),
                self._network.config.max_target_positions - prompt.shape[1],
            )
            tokens = GenerationMixin.generate(  # Whisper's own adds times, and prompts by what was said
                self._network,
                encoder_outputs=self._encode(window),
                decoder_input_ids=prompt,
                generation_config=rule,
            )
            texts.append(self._tokenizer.decode(cast(Tensor, tokens)[0].tolist()).strip())
        return " ".join(text for text in texts if text)

    def _encode(self, window: np.ndarray) -> BaseModelOutput:
        mel = self._features(window, sampling_rate=RATE, return_tensors="pt").input_features
        return self._network.get_encoder()(mel)


@lru_cache(maxsize=1)
def load_transcriber() -> Transcriber:
    """The transcriber, loaded once; raises as :class:`Transcriber`."""
    return Transcriber()


def _windows(audio: np.ndarray, sampling_rate: int) -> Iterator[np.ndarray]:
    """Yield windows at 16 kHz of at most 30 s that hold a sound, cut where it is quietest."""
    audio = resample(audio, sampling_rate, RATE)
    for piece in limit_length([Range(0, len(audio), False)], measure(audio, RATE), RATE):
        window = audio[piece.start : piece.end]
        if len(window) >= MIN_SAMPLES and window.any():
            yield window
