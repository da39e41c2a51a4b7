"""WavLM-Base+ from its published file, against Microsoft's numbers."""

import numpy as np
import pytest
import torch
from transformers.models.wavlm.modeling_wavlm import WavLMAttention

from modules.common.errors import CheckpointError
from tests.support.golden_cases import load_case
from tests.support.published import write_encoder
from tests.vencoder.reduced import clip, load_full_size, tolerance
from vencoder import ENCODERS
from vencoder.convolutions import from_expression
from vencoder.fairseq_names import library_names
from vencoder.wavlm import GatedAttention, load_network

CASE = load_case("encoder_wavlmbase")
CONFIG = CASE.manifest["config"]["reduced"]


@pytest.fixture
def encoder(reduced):
    return reduced("wavlmbase+")


def build(folder, state=None, **config):
    content = {"cfg": {**CONFIG, **config}, "model": state or CASE.state_dict()}
    torch.save(content, folder / "wavlm.pt")
    return ENCODERS.build("wavlmbase+", "cpu", weights=folder / "wavlm.pt")


def test_parity_of_normalized_waveforms(tmp_path):
    encoder = build(tmp_path, normalize=True)
    np.testing.assert_allclose(encoder.encode(clip(1.3)), CASE["out_normalize_1.3"][0], **tolerance(CASE))
    # as published: loudness has no influence
    torch.testing.assert_close(encoder.encode(3 * clip(1.3)), encoder.encode(clip(1.3)), rtol=0, atol=1e-3)


def test_parity_of_the_parts_and_of_the_full_size(encoder):
    network = encoder.network
    attention = network.wavlm.encoder.layers[0].attention
    with torch.no_grad():
        features = network.features(clip(1.3)[None])
        np.testing.assert_allclose(features, CASE["debug_features_1.3"], **tolerance(CASE))
        bias, far = attention.bias_by_distance(149), attention.bias_by_distance(1001)
    pairs = np.arange(149)[None] - np.arange(149)[:, None] + 148
    np.testing.assert_allclose(bias[0].numpy()[pairs], CASE["debug_position_bias_149"][0], rtol=0, atol=1e-6)
    rows = torch.from_numpy(CASE["debug_bucket_of_-1000..1000"]).long()
    assert torch.equal(far[:, torch.arange(-1000, 1001) + 1000], attention.rel_attn_embed.weight[rows].T)
    config = CASE.manifest["config"]["published"]
    network = load_full_size(CASE, lambda state: load_network(state, config, "wavlm.pt"))
    assert network.ssl_dim == ENCODERS["wavlmbase+"].ssl_dim


def test_parity_from_the_file_of_the_library(encoder, tmp_path):
    names = {
        "grep_linear": "gru_rel_pos_linear",
        "grep_a": "gru_rel_pos_const",
        "relative_attention_bias": "rel_attn_embed",
        "parametrizations.weight.original0": "weight_g",
        "parametrizations.weight.original1": "weight_v",
    }
    state = {}
    for name, tensor in library_names(CASE.state_dict()).items():
        for old, new in names.items():
            name = name.replace(old, new)
        state[name] = tensor
    torch.save(state, tmp_path / "pytorch_model.bin")
    other = ENCODERS.build("wavlmbase+", "cpu", weights=tmp_path / "pytorch_model.bin")
    assert torch.equal(other.encode(clip(0.5)), encoder.encode(clip(0.5)))


# the library's own call
@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning")
@pytest.mark.parametrize("n_padding", [0, 40])
def test_attention_equals_the_library_s(encoder, n_padding):
    """Also over several blocks of rows, and with the bias of the layer before."""
    torch.manual_seed(3)
    hidden = torch.randn(2, 600, 48)
    mask = torch.ones(2, 600, dtype=torch.bool)
    mask[1, 600 - n_padding :] = False
    bias = library_bias = None
    with torch.no_grad():
        for layer in encoder.network.wavlm.encoder.layers[:2]:
            ours, _, bias = layer.attention(hidden, mask if n_padding else None, bias)
            theirs, _, library_bias = WavLMAttention.forward(layer.attention, hidden, mask, library_bias)
            torch.testing.assert_close(ours[mask], theirs[mask], rtol=0, atol=1e-5)


def test_the_bias_is_computed_once_and_for_distances_only(tmp_path, monkeypatch):
    encoder = build(tmp_path)
    calls = []
    compute = GatedAttention.compute_bias

    def counted(self, *lengths):
        calls.append(lengths)
        return compute(self, *lengths)

    monkeypatch.setattr(GatedAttention, "compute_bias", counted)
    for seconds in (3.0, 0.5, 1.3):
        encoder.encode(clip(seconds))
    assert len(calls) == 2, "one for each direction of time"
    assert all(min(lengths) == 1 for lengths in calls)


def test_other_designs_are_refused_and_the_expression_of_the_convolutions_is_never_run(tmp_path):
    for option in ({"layer_norm_first": True}, {"gru_rel_pos": False}):
        with pytest.raises(CheckpointError, match=r"wavlm\.pt.*another design.*needs WavLM-Base\+"):
            build(tmp_path, **option)
    with pytest.raises(CheckpointError, match="not a WavLM checkpoint.*HuBERT"):
        ENCODERS.build("wavlmbase+", "cpu", weights=write_encoder("vec768l12", tmp_path))
    listed = from_expression(CASE.manifest["config"]["published"]["conv_feature_layers"], "x")
    assert listed == [(512, 10, 5)] + [(512, 3, 2)] * 4 + [(512, 2, 2)] * 2
    assert from_expression(" 2 * [(1, 2, 3), [4, 5, 6]]", "x") == [(1, 2, 3), (4, 5, 6)] * 2
    for expression in (
        "__import__('os').system('true')",
        "[(512,10,5)] * 1000000000",
        "[(512,10,5)] + ",
        "[(512,10)]",
        "[(512,10,-5)]",
        "[(512,10,5.0)]",
        "[(512,10,True)]",
        "[(512,10,5) for _ in '123']",
        "(" * 900,
        "[" * 400 + "]" * 400,
        "[(1,1,1)]+" * 2000 + "[]",
        "[(9" + "9" * 900 + ",1,1)]",
        [(512, 10, 5)],
        None,
    ):
        with pytest.raises(CheckpointError, match=r"wavlm\.pt.*conv_feature_layers"):
            from_expression(expression, "wavlm.pt")
    with pytest.raises(CheckpointError, match=r"wavlm\.pt.*conv_feature_layers"):
        build(tmp_path, conv_feature_layers="exit()")
    with pytest.raises(CheckpointError, match="400 and 320"):
        build(tmp_path, conv_feature_layers="[(32,10,5)] + [(32,3,2)] * 4 + [(32,2,2)]")
