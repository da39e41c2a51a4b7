"""HuBERT, ContentVec and their like, through published files, against the published code's numbers."""

import argparse
import re
from collections import OrderedDict

import numpy as np
import pytest
import torch

from modules.common.errors import CheckpointError
from tests.support.golden_cases import load_case, voice
from tests.support.published import ENCODER_CASES, fairseq_config, write_encoder, write_fairseq
from vencoder import ENCODERS
from vencoder.hubert import VARIANTS, HubertEncoder, load_network

CASES = [
    *((name, ENCODER_CASES[name]) for name in VARIANTS),
    ("cnhubertlarge", "encoder_cnhubertlarge_convbias"),
]
cases = pytest.mark.parametrize(("name", "case_name"), CASES, ids=[case for _, case in CASES])


def build(name, path, **options):
    if name == "hubertsoft":  # the file does not say, and the reduced heads are narrow
        return HubertEncoder(name, "cpu", path, n_heads=4, **options)
    return ENCODERS.build(name, "cpu", weights=path, **options)


def assert_parity(encoder, case):
    tolerance = {key: case.manifest["tolerance"][key] for key in ("rtol", "atol")}
    for seconds in case.manifest["inputs"]["lengths_s"]:
        units = encoder.encode(torch.from_numpy(voice(seconds, 16000)))
        np.testing.assert_allclose(units.numpy(), case[f"out_{seconds}"][0], **tolerance)


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    return {name: build(name, write_encoder(name, tmp_path_factory.mktemp(name))) for name in VARIANTS}


@pytest.fixture
def vec_state():
    return load_case("encoder_vec768l12").state_dict()


@pytest.fixture
def write_vec(tmp_path):
    def write(state, **content):
        return write_fairseq(
            tmp_path / "model.pt",
            state,
            content.pop("config", fairseq_config("encoder_vec768l12")),
            **content,
        )

    return write


@cases
def test_parity_through_the_published_file(tmp_path, name, case_name):
    assert_parity(build(name, write_encoder(name, tmp_path, case_name)), load_case(case_name))


@cases
def test_parity_through_the_legacy_container(tmp_path, name, case_name):
    state = load_case(case_name).state_dict()
    path = tmp_path / "model.pt"
    if name == "hubertsoft":
        torch.save(OrderedDict(state), path, _use_new_zipfile_serialization=False)
    else:
        write_fairseq(path, state, fairseq_config(case_name), zipped=False)
    assert_parity(build(name, path), load_case(case_name))


@pytest.mark.parametrize("prefix", ["", "module."])
def test_parity_of_hubertsoft_from_its_second_release(tmp_path, prefix):
    case = load_case("encoder_hubertsoft")
    state = OrderedDict((prefix + name, tensor) for name, tensor in case.state_dict().items())
    torch.save({"hubert": state, "step": 7, "optimizer": {"state": {}}}, tmp_path / "soft.pt")
    assert_parity(build("hubertsoft", tmp_path / "soft.pt"), case)


@pytest.mark.parametrize("weight_norm", ["old", "new"])
def test_parity_in_the_layout_of_transformers(tmp_path, vec_state, weight_norm):
    # ContentVec is published as a transformers model with final_proj, too
    network = load_network("vec256l9", vec_state, "x", n_heads=4)
    state = {name.removeprefix("hubert."): tensor for name, tensor in network.state_dict().items()}
    conv = "encoder.pos_conv_embed.conv"
    leaves = (
        ("weight_g", "weight_v")
        if weight_norm == "old"
        else [f"parametrizations.weight.original{i}" for i in (0, 1)]
    )
    del state[f"{conv}.weight"]
    for leaf, published in zip(leaves, ("weight_g", "weight_v"), strict=True):
        state[f"{conv}.{leaf}"] = vec_state[f"encoder.pos_conv.0.{published}"]
    torch.save({**state, "masked_spec_embed": torch.zeros(48)}, tmp_path / "pytorch_model.bin")
    encoder = HubertEncoder("vec256l9", "cpu", tmp_path / "pytorch_model.bin", n_heads=4)
    assert_parity(encoder, load_case("encoder_vec256l9"))


@cases
def test_parity_of_names_and_shapes_at_the_published_size(name, case_name):
    published = load_case(case_name).manifest["default_state_dict"]
    state = {key: torch.empty(shape, device="meta") for key, (shape, _) in published.items()}
    network = load_network(name, state, "published")
    assert network.ssl_dim == ENCODERS[name].ssl_dim
    assert {parameter.device.type for parameter in network.parameters()} == {"meta"}
    # what comes after the layer that is taken is never built
    assert len(network.hubert.encoder.layers) == {"vec256l9": 9, "cnhubertlarge": 24}.get(name, 12)
    attention = network.hubert.encoder.layers[0].attention
    assert (attention.num_heads, attention.head_dim) == (16 if name == "cnhubertlarge" else 12, 64)


@cases
def test_every_published_tensor_is_used_or_known_not_to_be(name, case_name):
    """Each tensor but those of training must be needed: without it the file is refused."""
    state = load_case(case_name).state_dict()
    unused = {"mask_emb", "masked_spec_embed", "label_embs_concat", "label_embedding.weight"}
    if name in ("vec768l12", "cnhubertlarge"):
        unused |= {"final_proj.weight", "final_proj.bias"}
    middle = r"encoder\.layers\.([1-7]|10)\."  # like their neighbours
    for left_out in (key for key in state if not re.match(middle, key)):
        rest = {key: tensor for key, tensor in state.items() if key != left_out}
        beyond = name == "vec256l9" and re.match(r"encoder\.layers\.(9|10|11)\.", left_out)
        if left_out in unused or beyond:
            load_network(name, rest, "x", n_heads=4)
        else:
            with pytest.raises(CheckpointError):
                load_network(name, rest, "x", n_heads=4)


def test_what_training_left_in_contentvec_is_passed_over(write_vec, vec_state):
    """The file checkpoint_best_500.pt has the layers of its training objective."""
    rest = {
        "layer_proj.weight": torch.zeros(16, 48),
        "layer_proj.bias": torch.zeros(16),
        "encoder.cond_layer_norm.weight_ln.weight": torch.zeros(48, 16),
        "encoder.layers.12.self_attn.q_proj.weight": torch.zeros(48, 48),
        "encoder.layers.14.final_layer_norm.bias_ln.weight": torch.zeros(48, 16),
    }
    assert_parity(build("vec768l12", write_vec({**vec_state, **rest})), load_case("encoder_vec768l12"))


def test_half_precision_on_disk_is_float32_in_memory(write_vec, vec_state, encoders):
    half = build("vec768l12", write_vec({name: tensor.half() for name, tensor in vec_state.items()}))
    assert {parameter.dtype for parameter in half.network.parameters()} == {torch.float32}
    audio = torch.from_numpy(voice(1.3, 16000))
    # weights of 11 bits through twelve layers
    torch.testing.assert_close(half.encode(audio), encoders["vec768l12"].encode(audio), rtol=0, atol=0.05)


def test_a_file_saved_on_a_gpu_is_read_on_a_machine_without(tmp_path, monkeypatch, encoders):
    monkeypatch.setattr("torch.serialization.location_tag", lambda storage: "cuda:0")
    path = write_encoder("vec768l12", tmp_path)
    monkeypatch.undo()
    audio = torch.from_numpy(voice(0.5, 16000))
    assert torch.equal(build("vec768l12", path).encode(audio), encoders["vec768l12"].encode(audio))


def test_settings_of_old_fairseq_are_a_namespace(tmp_path, vec_state, encoders):
    """Before fairseq 1.0, 'args' held what 'cfg' holds now."""
    args = argparse.Namespace(arch="hubert", **fairseq_config("encoder_vec768l12")["model"])
    torch.save({"args": args, "model": vec_state}, tmp_path / "old.pt")
    audio = torch.from_numpy(voice(0.5, 16000))
    assert torch.equal(
        build("vec768l12", tmp_path / "old.pt").encode(audio), encoders["vec768l12"].encode(audio)
    )


def test_the_chinese_hubert_does_not_normalise(encoders):
    """Its kind is trained on normalised waves, but published voices were made without."""
    audio = torch.from_numpy(voice(1.3, 16000)) + 0.3
    normalised = torch.nn.functional.layer_norm(audio, audio.shape)
    encode = encoders["cnhubertlarge"].encode
    assert (encode(audio) - encode(normalised)).abs().mean() > 0.05


@pytest.mark.parametrize(
    ("name", "n_samples", "n_units"),
    [("vec768l12", 719, 1), ("vec768l12", 720, 2), ("hubertsoft", 639, 1), ("hubertsoft", 640, 2)],
)
def test_the_number_of_units(encoders, name, n_samples, n_units):
    assert encoders[name].encode(torch.ones(n_samples)).shape[1] == n_units


def test_short_clips_are_those_with_silence_behind(encoders):
    audio = torch.from_numpy(voice(0.01, 16000))
    for name, encoder in encoders.items():
        padded = torch.nn.functional.pad(audio, (0, (320 if name == "hubertsoft" else 400) - len(audio)))
        assert torch.equal(encoder.encode(audio), encoder.encode(padded))


def test_the_tail_of_a_clip_counts_in_its_normalisation(encoders):
    """Samples that complete no unit are heard by fairseq's GroupNorm, so by ours."""
    audio = torch.from_numpy(voice(1.3, 16000))[: 400 + 319]
    louder = audio.clone()
    louder[400:] *= 10
    encode = encoders["vec768l12"].encode
    assert not torch.allclose(encode(audio), encode(louder), atol=1e-3)


@pytest.mark.parametrize("name", ["vec768l12", "hubertsoft"])
def test_a_long_clip_is_computed_in_windows(encoders, name, monkeypatch):
    encoder = encoders[name]
    lengths = []
    features = encoder.network.features
    monkeypatch.setattr(
        encoder.network, "features", lambda audio: lengths.append(audio.shape[1]) or features(audio)
    )
    audio = torch.from_numpy(voice(90.0, 16000))
    units = encoder.encode(audio)
    assert units.shape[1] == (len(audio) - (0 if name == "hubertsoft" else 80)) // 320
    assert len(lengths) == 3 and max(lengths) <= 40 * 16000 + 400


@pytest.mark.parametrize("name", ["vec768l12", "cnhubertlarge"])
def test_windows_change_little(encoders, name, monkeypatch):
    """Attention and normalisation see a window instead of the whole song; nothing else differs."""
    audio = torch.from_numpy(voice(45.0, 16000))
    cut = encoders[name].encode(audio)
    monkeypatch.setattr("vencoder.windowed.LONGEST", 10**6)
    whole = encoders[name].encode(audio)
    error = (cut - whole).square().mean().sqrt() / whole.square().mean().sqrt()
    # 0.01 to 0.03 on this voice, 0.07 on noise that swells and fades: a slice of a song differs as much
    assert error < 0.05


def test_attention_needs_no_matrix_of_all_pairs(encoders):
    """The eager product of 2,000 units squared, for 12 heads, would take 190 MB in every layer."""
    for encoder in encoders.values():
        assert encoder.network.hubert.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", VARIANTS)
def test_lower_precision(encoders, tmp_path, name, dtype):
    audio = torch.from_numpy(voice(1.3, 16000))
    units = build(name, write_encoder(name, tmp_path), dtype=dtype).encode(audio)
    exact = encoders[name].encode(audio)
    assert units.dtype == torch.float32
    error = (units - exact).square().mean().sqrt() / exact.square().mean().sqrt()
    # bfloat16 has 8 bits, float16 has 11; through up to twelve layers
    assert 0 < error < (0.05 if dtype == torch.bfloat16 else 0.01)


def test_a_mixed_batch_is_put_back_in_order(encoders, monkeypatch):
    monkeypatch.setattr("vencoder.windowed.LONGEST", 300)  # the last is cut
    clips = [torch.from_numpy(voice(seconds, 16000)) for seconds in (0.4, 3.0, 0.02, 2.8, 2.9, 0.41, 7.0)]
    for encoder in encoders.values():
        for units, alone in zip(encoder.encode_batch(clips), map(encoder.encode, clips), strict=True):
            # float32 sums in another order; measured 2e-6
            torch.testing.assert_close(units, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", VARIANTS)
def test_building_leaves_the_random_numbers_alone(name, tmp_path):
    path, state = write_encoder(name, tmp_path), torch.get_rng_state()
    build(name, path)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("name", "other", "seems"),
    [
        ("vec768l12", "hubertsoft", "soft HuBERT"),
        ("vec256l9", "hubertsoft", "soft HuBERT"),
        ("cnhubertlarge", "hubertsoft", "soft HuBERT"),
        ("hubertsoft", "vec768l12", "HuBERT or ContentVec"),
        ("hubertsoft", "cnhubertlarge", "HuBERT or ContentVec"),
        ("vec768l12", "cnhubertlarge", "HuBERT-large"),
        ("cnhubertlarge", "vec768l12", "HuBERT-base"),
        ("vec768l12", "wavlmbase+", "WavLM"),
        ("cnhubertlarge", "whisper-ppg", "Whisper"),
        ("hubertsoft", "dphubert", "DPHuBERT"),
    ],
)
def test_a_file_of_a_relative_is_refused_even_where_its_tensors_fit(tmp_path, name, other, seems):
    path = write_encoder(other, tmp_path)
    with pytest.raises(CheckpointError, match=re.escape(str(path))) as caught:
        build(name, path)
    assert seems in str(caught.value)


def test_at_most_five_tensors_are_named(write_vec, vec_state):
    kept = {name: tensor for name, tensor in vec_state.items() if not name.startswith("encoder.layers.7.")}
    with pytest.raises(CheckpointError, match=r"layers\.7\.\S+ is missing; .* and 11 more") as caught:
        build("vec768l12", write_vec(kept))
    assert str(caught.value).count("is missing") == 5


def test_a_tensor_that_nobody_knows_is_named(write_vec, vec_state):
    with pytest.raises(CheckpointError, match=r"surprise\.weight is unknown"):
        build("vec768l12", write_vec({**vec_state, "surprise.weight": torch.zeros(1)}))


@pytest.mark.parametrize(
    ("tensor", "shape"),
    [
        ("encoder.layers.3.fc1.weight", (95, 48)),
        ("post_extract_proj.weight", (48000, 32)),
        ("post_extract_proj.weight", (48,)),
        ("feature_extractor.conv_layers.2.0.weight", (32, 32)),
        ("feature_extractor.conv_layers.0.0.weight", (0, 1, 10)),
        ("feature_extractor.conv_layers.6.0.weight", (32, 32, 4)),
        ("encoder.pos_conv.0.weight_v", (48, 5, 128)),
        ("layer_norm.weight", ()),
    ],
)
def test_wrong_shapes_are_refused_before_anything_is_allocated(write_vec, vec_state, tensor, shape):
    vec_state[tensor] = torch.zeros(shape)
    with pytest.raises(CheckpointError, match=r"model\.pt"):
        build("vec768l12", write_vec(vec_state))


@pytest.mark.parametrize("n_heads", [5, 0, -4, "many", None, 10**9])
def test_settings_that_make_no_sense(write_vec, vec_state, n_heads):
    config = fairseq_config("encoder_vec768l12")
    config["model"] = {**config["model"], "encoder_attention_heads": n_heads}
    path = write_vec(vec_state, config=config)
    if isinstance(n_heads, int) and n_heads > 0:
        with pytest.raises(CheckpointError, match="heads"):
            build("vec768l12", path)
    else:  # as good as not stated
        assert build("vec768l12", path).ssl_dim == 48
