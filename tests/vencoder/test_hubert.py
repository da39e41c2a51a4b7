"""HuBERT, ContentVec and relatives from published files, against the published code's numbers."""

import argparse
import re
from collections import OrderedDict

import pytest
import torch

from modules.common.errors import CheckpointError
from tests.support.golden_cases import load_case
from tests.support.published import ENCODER_CASES, fairseq_config, write_encoder, write_fairseq
from tests.vencoder.reduced import assert_parity, build, clip, load_full_size
from vencoder import ENCODERS
from vencoder.hubert import HubertVariant, load_network

VEC_STATE = load_case("encoder_vec768l12").state_dict()
NAMES = [name for name, spec in ENCODERS.items() if spec.target == "vencoder.hubert:HubertEncoder"]
CASES = [
    *((name, ENCODER_CASES[name]) for name in NAMES),
    ("cnhubertlarge", "encoder_cnhubertlarge_convbias"),
]
cases = pytest.mark.parametrize(("name", "case_name"), CASES, ids=[case for _, case in CASES])


def load(name, state, path="x", n_heads=None):
    return load_network(HubertVariant(**ENCODERS[name].kwargs), state, path, n_heads)


@pytest.fixture
def write_vec(tmp_path):
    """Write a file of ContentVec."""
    config = fairseq_config("encoder_vec768l12")
    return lambda state, config=config: write_fairseq(tmp_path / "model.pt", state, config)


@cases
def test_parity_through_the_legacy_container(tmp_path, name, case_name):
    case, path = load_case(case_name), tmp_path / "model.pt"
    if name == "hubertsoft":
        torch.save(OrderedDict(case.state_dict()), path, _use_new_zipfile_serialization=False)
    else:
        write_fairseq(path, case.state_dict(), fairseq_config(case_name), zipped=False)
    assert_parity(build(name, path), case)


def test_parity_of_hubertsoft_from_its_second_release(tmp_path):
    case = load_case("encoder_hubertsoft")
    for prefix in ("", "module."):
        state = OrderedDict((prefix + name, tensor) for name, tensor in case.state_dict().items())
        torch.save({"hubert": state, "step": 7, "optimizer": {"state": {}}}, tmp_path / "soft.pt")
        assert_parity(build("hubertsoft", tmp_path / "soft.pt"), case)


@pytest.mark.parametrize(
    "leaves", [("weight_g", "weight_v"), [f"parametrizations.weight.original{i}" for i in (0, 1)]]
)
def test_parity_in_the_layout_of_transformers(tmp_path, leaves):
    # ContentVec is published as a transformers model with final_proj, too
    state = {name.removeprefix("hubert."): t for name, t in load("vec256l9", VEC_STATE).state_dict().items()}
    conv = "encoder.pos_conv_embed.conv"
    del state[f"{conv}.weight"]
    for leaf, published in zip(leaves, ("weight_g", "weight_v"), strict=True):
        state[f"{conv}.{leaf}"] = VEC_STATE[f"encoder.pos_conv.0.{published}"]
    torch.save({**state, "masked_spec_embed": torch.zeros(48)}, tmp_path / "pytorch_model.bin")
    assert_parity(build("vec256l9", tmp_path / "pytorch_model.bin", n_heads=4), load_case("encoder_vec256l9"))


@cases
def test_parity_of_names_and_shapes_at_the_published_size(name, case_name):
    network = load_full_size(load_case(case_name), lambda state: load(name, state))
    assert network.ssl_dim == ENCODERS[name].ssl_dim
    # layers after the one that is used are never built
    assert len(network.hubert.encoder.layers) == {"vec256l9": 9, "cnhubertlarge": 24}.get(name, 12)
    attention = network.hubert.encoder.layers[0].attention
    assert (attention.num_heads, attention.head_dim) == (16 if name == "cnhubertlarge" else 12, 64)


@cases
def test_every_published_tensor_is_used_or_known_not_to_be(name, case_name):
    """Without any tensor but those of training, the file is refused."""
    state = load_case(case_name).state_dict()
    unused = {"mask_emb", "masked_spec_embed", "label_embs_concat", "label_embedding.weight"}
    if name in ("vec768l12", "cnhubertlarge"):
        unused |= {"final_proj.weight", "final_proj.bias"}
    middle = r"encoder\.layers\.([1-7]|10)\."  # like their neighbours
    for left_out in (key for key in state if not re.match(middle, key)):
        rest = {key: tensor for key, tensor in state.items() if key != left_out}
        beyond = name == "vec256l9" and re.match(r"encoder\.layers\.(9|10|11)\.", left_out)
        if left_out in unused or beyond:
            load(name, rest, n_heads=4)
        else:
            with pytest.raises(CheckpointError):
                load(name, rest, n_heads=4)


def test_tensors_of_contentvec_s_training_are_ignored(write_vec):
    """The file checkpoint_best_500.pt has the layers of its training objective."""
    names = "layer_proj.weight layer_proj.bias encoder.cond_layer_norm.weight_ln.weight"
    names += " encoder.layers.12.self_attn.q_proj.weight encoder.layers.14.final_layer_norm.bias_ln.weight"
    rest = {name: torch.zeros(48, 16) for name in names.split()}
    assert_parity(build("vec768l12", write_vec({**VEC_STATE, **rest})), load_case("encoder_vec768l12"))


def test_files_of_a_gpu_old_fairseq_or_half_precision(tmp_path, monkeypatch, reduced, write_vec):
    audio = clip(1.3)
    wanted = reduced("vec768l12").encode(audio)
    with monkeypatch.context() as patch:
        patch.setattr("torch.serialization.location_tag", lambda storage: "cuda:0")
        path = write_encoder("vec768l12", tmp_path)
    assert torch.equal(build("vec768l12", path).encode(audio), wanted)
    # before fairseq 1.0, 'args' held what 'cfg' holds now
    args = argparse.Namespace(arch="hubert", **fairseq_config("encoder_vec768l12")["model"])
    torch.save({"args": args, "model": VEC_STATE}, tmp_path / "old.pt")
    assert torch.equal(build("vec768l12", tmp_path / "old.pt").encode(audio), wanted)
    half = build("vec768l12", write_vec({name: tensor.half() for name, tensor in VEC_STATE.items()}))
    assert {parameter.dtype for parameter in half.network.parameters()} == {torch.float32}
    # weights of 11 bits through twelve layers
    torch.testing.assert_close(half.encode(audio), wanted, rtol=0, atol=0.05)


def test_normalization_of_the_chinese_hubert_and_of_the_remainder_of_a_clip(reduced):
    """It was trained on normalized waveforms, but published voice models were made without."""
    audio = clip(1.3) + 0.3
    normalized = torch.nn.functional.layer_norm(audio, audio.shape)
    encode = reduced("cnhubertlarge").encode
    assert (encode(audio) - encode(normalized)).abs().mean() > 0.05
    # samples after the last unit are part of fairseq's GroupNorm, so of ours
    audio = clip(1.3)[: 400 + 319]
    louder = audio.clone()
    louder[400:] *= 10
    encode = reduced("vec768l12").encode
    assert not torch.allclose(encode(audio), encode(louder), atol=1e-3)


def test_the_number_of_units_and_padding_of_short_clips(reduced):
    audio = clip(0.01)
    for name in NAMES:
        encoder = reduced(name)
        shortest = 320 if name == "hubertsoft" else 400
        for n_samples, n_units in ((shortest + 319, 1), (shortest + 320, 2)):
            assert encoder.encode(torch.ones(n_samples)).shape[1] == n_units
        padded = torch.nn.functional.pad(audio, (0, shortest - len(audio)))
        assert torch.equal(encoder.encode(audio), encoder.encode(padded))


def test_a_relative_is_refused_even_where_its_tensors_fit(tmp_path):
    for name, other, design in (
        ("hubertsoft", "vec768l12", "HuBERT or ContentVec"),
        ("vec768l12", "cnhubertlarge", "HuBERT-large"),
        ("cnhubertlarge", "vec768l12", "HuBERT-base"),
    ):
        with pytest.raises(CheckpointError, match=design):
            build(name, write_encoder(other, tmp_path))


def test_missing_and_unknown_tensors_are_named_and_wrong_shapes_refused(write_vec):
    kept = {name: tensor for name, tensor in VEC_STATE.items() if not name.startswith("encoder.layers.7.")}
    with pytest.raises(CheckpointError, match=r"layers\.7\.\S+ is missing; .* and 11 more") as caught:
        build("vec768l12", write_vec(kept))
    assert str(caught.value).count("is missing") == 5
    with pytest.raises(CheckpointError, match=r"surprise\.weight is unknown"):
        build("vec768l12", write_vec({**VEC_STATE, "surprise.weight": torch.zeros(1)}))
    for tensor, shape in (
        ("encoder.layers.3.fc1.weight", (95, 48)),
        ("post_extract_proj.weight", (48000, 32)),
        ("post_extract_proj.weight", (48,)),
        ("feature_extractor.conv_layers.2.0.weight", (32, 32)),
        ("feature_extractor.conv_layers.0.0.weight", (0, 1, 10)),
        ("feature_extractor.conv_layers.6.0.weight", (32, 32, 4)),
        ("encoder.pos_conv.0.weight_v", (48, 5, 128)),
        ("layer_norm.weight", ()),
    ):
        with pytest.raises(CheckpointError, match=r"model\.pt"):
            load("vec768l12", {**VEC_STATE, tensor: torch.zeros(shape)}, "model.pt", n_heads=4)


def test_the_stated_number_of_heads(write_vec):
    config = fairseq_config("encoder_vec768l12")
    for n_heads in (5, 10**9, 0, -4, "many", None):
        config["model"] = {**config["model"], "encoder_attention_heads": n_heads}
        path = write_vec(VEC_STATE, config)
        if n_heads in (5, 10**9):
            with pytest.raises(CheckpointError, match="heads"):
                build("vec768l12", path)
        else:  # taken as not stated
            assert build("vec768l12", path).ssl_dim == 48
