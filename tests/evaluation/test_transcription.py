"""Transcription: the decoding, with a small Whisper of random weights and a vocabulary of its own."""

import json
import re

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import WhisperConfig, WhisperForConditionalGeneration

from evaluation import transcription
from evaluation.transcription import MAX_TOKENS_PER_SECOND, RATE, Transcriber
from modules.common.errors import ConfigError

SPECIAL = ["endoftext", "startoftranscript", "en", "zh", "transcribe", "notimestamps"]
WORDS = [f"w{number}" for number in range(40)]
SUPPRESSED = [0, 1, 7, 11, 13]
SIZES = {
    "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "num_mel_bins": 80,
    "max_source_positions": 1500, "max_target_positions": 64, "vocab_size": len(WORDS) + len(SPECIAL),
    "pad_token_id": None, "bos_token_id": None, "eos_token_id": None, "decoder_start_token_id": 0,
}  # fmt: skip


@pytest.fixture
def transcriber(tmp_path, monkeypatch):
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="w0"))
    tokenizer.add_special_tokens([f"<|{name}|>" for name in SPECIAL])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    languages = [tokenizer.token_to_id(f"<|{name}|>") for name in ("en", "zh")]
    settings = {"lang_ids": languages, "suppress_ids": SUPPRESSED, "suppress_ids_begin": [2, 3]}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    torch.manual_seed(0)
    network = WhisperForConditionalGeneration(WhisperConfig(**SIZES)).eval()
    for parameter in network.parameters():
        parameter.data = torch.randn_like(parameter)
    monkeypatch.setattr(transcription, "load_whisper", lambda: network)
    monkeypatch.setattr(transcription, "find_file", lambda number, name: tmp_path / name)
    return Transcriber()


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(round(seconds * RATE)).astype(np.float32) * 0.1


def test_decoding_is_greedy_in_the_language_asked_for_and_says_nothing_suppressed(transcriber):
    audio = noise(0.5)
    mel = transcriber._features(audio, sampling_rate=RATE, return_tensors="pt").input_features
    for language, token in (("en", len(WORDS) + 2), ("zh", len(WORDS) + 3)):
        tokens = [len(WORDS) + 1, token, len(WORDS) + 4, len(WORDS) + 5]
        n_prompt, most = len(tokens), 10 + round(0.5 * MAX_TOKENS_PER_SECOND)
        while len(tokens) < n_prompt + most:
            with torch.inference_mode():
                logits = transcriber._network(mel, decoder_input_ids=torch.tensor([tokens])).logits[0, -1]
            logits = logits.clone()
            logits[SUPPRESSED] = -torch.inf
            if len(tokens) == n_prompt:
                logits[[2, 3]] = -torch.inf
            if (token := int(logits.argmax())) == len(WORDS):  # the end
                break
            tokens.append(token)
        said = [token for token in tokens[n_prompt:] if token < len(WORDS)]
        text = transcriber.transcribe(audio, RATE, language)
        assert text == " ".join(WORDS[token] for token in said) and said
    with torch.inference_mode():
        start = torch.tensor([[len(WORDS) + 1]])
        logits = transcriber._network(mel, decoder_input_ids=start).logits[0, -1]
    english, chinese = logits[len(WORDS) + 2 : len(WORDS) + 4]
    assert transcriber.detect_language(audio, RATE) == ("en" if english > chinese else "zh")


def test_a_long_song_is_cut_where_it_is_quietest_and_silence_is_not_transcribed(transcriber, monkeypatch):
    heard = []
    encode = transcriber._encode
    monkeypatch.setattr(transcriber, "_encode", lambda window: heard.append(len(window)) or encode(window))
    audio = noise(40.0)
    audio[round(22 * RATE) : round(22.4 * RATE)] = 0
    text = transcriber.transcribe(audio, RATE, "en")
    assert len(heard) == 2 and sum(heard) == len(audio) and 22 * RATE <= heard[0] <= 22.4 * RATE
    assert len(text.split()) <= 2 * (SIZES["max_target_positions"] - 4)
    heard.clear()
    assert transcriber.transcribe(np.zeros(3 * RATE, np.float32), RATE, "en") == ""
    assert transcriber.transcribe(noise(0.05), RATE, "en") == ""
    assert transcriber.detect_language(np.zeros(0, np.float32), RATE) == "en" and heard == []


def test_an_unknown_language_is_refused(transcriber):
    transcriber.check_language("zh")
    with pytest.raises(ConfigError, match=re.escape("Whisper has no 'xx'; its languages are en zh")):
        transcriber.check_language("xx")
