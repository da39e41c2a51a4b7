"""WavLM-Base+ through its published file, against Microsoft's numbers."""

import numpy as np
import pytest
import torch
from transformers.models.wavlm.modeling_wavlm import WavLMAttention

from modules.common.errors import CheckpointError
from tests.support.golden_cases import load_case, voice
from tests.support.published import write_encoder
from vencoder import ENCODERS, windowed
from vencoder.convolutions import from_expression
from vencoder.fairseq_names import library_names
from vencoder.wavlm import GatedAttention, load_network

CASE = load_case("encoder_wavlmbase")
CONFIG = CASE.manifest["config"]["reduced"]
TOLERANCE = {key: CASE.manifest["tolerance"][key] for key in ("rtol", "atol")}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return ENCODERS.build(
        "wavlmbase+", "cpu", weights=write_encoder("wavlmbase+", tmp_path_factory.mktemp("wavlm"))
    )


def build(folder, state=None, **config):
    content = {"cfg": {**CONFIG, **config}, "model": state or CASE.state_dict()}
    torch.save(content, folder / "wavlm.pt")
    return ENCODERS.build("wavlmbase+", "cpu", weights=folder / "wavlm.pt")


def clip(seconds):
    return torch.from_numpy(voice(seconds, 16000))


@pytest.mark.parametrize("seconds", CASE.manifest["inputs"]["lengths_s"])
def test_parity_through_the_published_file(encoder, seconds):
    np.testing.assert_allclose(encoder.encode(clip(seconds)), CASE[f"out_{seconds}"][0], **TOLERANCE)


def test_parity_of_normalised_waves(tmp_path):
    encoder = build(tmp_path, normalize=True)
    np.testing.assert_allclose(encoder.encode(clip(1.3)), CASE["out_normalize_1.3"][0], **TOLERANCE)
    # the published one: the wave's loudness has no influence
    torch.testing.assert_close(encoder.encode(3 * clip(1.3)), encoder.encode(clip(1.3)), rtol=0, atol=1e-3)


def test_parity_of_the_parts(encoder):
    network = encoder.network
    with torch.no_grad():
        features = network.features(clip(1.3)[None])
        np.testing.assert_allclose(features, CASE["debug_features_1.3"], **TOLERANCE)
        bias = network.wavlm.encoder.layers[0].attention.bias_by_distance(149)
    pairs = np.arange(149)[None] - np.arange(149)[:, None] + 148
    np.testing.assert_allclose(bias[0].numpy()[pairs], CASE["debug_position_bias_149"][0], rtol=0, atol=1e-6)
    distances = torch.arange(-1000, 1001)
    table = network.wavlm.encoder.layers[0].attention.rel_attn_embed.weight
    rows = torch.from_numpy(CASE["debug_bucket_of_-1000..1000"]).long()
    with torch.no_grad():
        far = network.wavlm.encoder.layers[0].attention.bias_by_distance(1001)
    assert torch.equal(far[:, distances + 1000], table[rows].T)


def test_parity_of_the_full_size():
    shapes = CASE.manifest["default_state_dict"]
    state = {name: torch.empty(shape, device="meta") for name, (shape, _) in shapes.items()}
    network = load_network(state, CASE.manifest["config"]["published"], "wavlm.pt")
    assert network.ssl_dim == ENCODERS["wavlmbase+"].ssl_dim
    assert {tensor.device.type for tensor in network.state_dict().values()} == {"meta"}
    assert not network.training


def test_parity_from_the_file_of_the_library(encoder, tmp_path):
    names = {"grep_linear": "gru_rel_pos_linear", "grep_a": "gru_rel_pos_const"}
    names |= {"relative_attention_bias": "rel_attn_embed"}
    names |= {
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
def test_attention_is_that_of_the_library(encoder, n_padding):
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


def test_clips_of_like_length_are_computed_together_and_alone_alike(encoder, monkeypatch):
    clips = [clip(3.0)[:n_samples] for n_samples in (16000, 15000, 14000, 13500)]
    alone = [encoder.encode(one) for one in clips]
    sizes = []
    units = encoder.network.units
    monkeypatch.setattr(encoder.network, "units", lambda f, mask: sizes.append(len(f)) or units(f, mask))
    for one, other in zip(encoder.encode_batch(clips), alone, strict=True):
        # float32; a batch sums in another order
        torch.testing.assert_close(one, other, rtol=0, atol=2e-5)
    assert sizes == [4]


def test_a_long_clip_is_cut_into_windows_that_hide_it(encoder, monkeypatch):
    audio = clip(3.0).repeat(15)  # 45 s
    with monkeypatch.context() as patch:
        patch.setattr(windowed, "LONGEST", 10**6)
        whole = encoder.encode(audio)
    shapes = []
    units = encoder.network.units
    monkeypatch.setattr(encoder.network, "units", lambda f, mask: shapes.append(f.shape) or units(f, mask))
    cut = encoder.encode(audio)
    assert sum(shape[0] for shape in shapes) == 2
    assert max(shape[1] for shape in shapes) < 1300, "halves, and 2 s of the other"
    assert cut.shape == whole.shape == (48, 2249)
    # what is further away than a window is no longer heard
    assert (cut - whole).norm() < 0.05 * whole.norm()
    assert (cut - whole).norm(dim=0).max() < 0.2 * whole.norm(dim=0).mean()


def test_padding_has_no_influence_whatever_is_in_it(encoder):
    torch.manual_seed(3)
    features = torch.randn(1, 90, 48)
    mask = torch.arange(90)[None] < 60
    with torch.no_grad():
        units = encoder.network.units(features.clone(), mask)[:, :60]
        alone = encoder.network.units(features[:, :60].clone())
    torch.testing.assert_close(units, alone, rtol=0, atol=2e-5)


def test_units_in_bfloat16_are_near(encoder, tmp_path):
    path = write_encoder("wavlmbase+", tmp_path)
    low = ENCODERS.build("wavlmbase+", "cpu", weights=path, dtype=torch.bfloat16)
    units, wanted = low.encode(clip(1.3)), encoder.encode(clip(1.3))
    assert units.dtype == torch.float32
    # 8 bits of mantissa, through three layers
    assert 1e-4 * wanted.norm() < (units - wanted).norm() < 0.03 * wanted.norm()


@pytest.mark.parametrize("option", [{"layer_norm_first": True}, {"gru_rel_pos": False}])
def test_another_design_is_refused(tmp_path, option):
    with pytest.raises(CheckpointError, match=r"wavlm\.pt.*another design.*needs WavLM-Base\+"):
        build(tmp_path, **option)


def test_other_models_are_refused_by_name(tmp_path):
    with pytest.raises(CheckpointError, match="it seems to be a Whisper"):
        ENCODERS.build("wavlmbase+", "cpu", weights=write_encoder("whisper-ppg", tmp_path))
    with pytest.raises(CheckpointError, match="no WavLM checkpoint.*HuBERT"):
        ENCODERS.build("wavlmbase+", "cpu", weights=write_encoder("vec768l12", tmp_path))


def test_missing_tensors_are_named(tmp_path):
    state = CASE.state_dict()
    del state["encoder.layers.1.fc1.bias"]
    with pytest.raises(
        CheckpointError, match=r"layers\.1\.feed_forward\.intermediate_dense\.bias is missing"
    ):
        build(tmp_path, state)
    del state["encoder.layers.0.self_attn.relative_attention_bias.weight"]
    with pytest.raises(CheckpointError, match=r"rel_attn_embed\.weight is missing"):
        build(tmp_path, state)


def test_convolutions_from_the_published_expression():
    listed = from_expression(CASE.manifest["config"]["published"]["conv_feature_layers"], "x")
    assert listed == [(512, 10, 5)] + [(512, 3, 2)] * 4 + [(512, 2, 2)] * 2
    assert from_expression(" 2 * [(1, 2, 3), [4, 5, 6]]", "x") == [(1, 2, 3), (4, 5, 6)] * 2


@pytest.mark.parametrize(
    "expression",
    [
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
    ],
)
def test_what_is_no_list_of_convolutions_is_refused_and_never_run(tmp_path, expression):
    with pytest.raises(CheckpointError, match=r"wavlm\.pt.*conv_feature_layers"):
        build(tmp_path, conv_feature_layers=expression)


def test_other_strides_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="400 and 320"):
        build(tmp_path, conv_feature_layers="[(32,10,5)] + [(32,3,2)] * 4 + [(32,2,2)]")
