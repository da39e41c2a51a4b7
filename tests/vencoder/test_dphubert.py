"""DPHuBERT through the file that its training leaves, against its authors' numbers."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from modules.common.errors import CheckpointError
from tests.support.golden_cases import load_case, voice
from tests.support.published import write_encoder
from vencoder import ENCODERS
from vencoder.dphubert import load_network, sizes_of

CASE = load_case("encoder_dphubert")
CONFIG = CASE.manifest["config"]["reduced"]
TOLERANCE = {key: CASE.manifest["tolerance"][key] for key in ("rtol", "atol")}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return ENCODERS.build(
        "dphubert", "cpu", weights=write_encoder("dphubert", tmp_path_factory.mktemp("dphubert"))
    )


def build(folder, state=None, without="", **config):
    config = {key: value for key, value in {**CONFIG, **config}.items() if key != without}
    torch.save({"state_dict": state or CASE.state_dict(), "config": config}, folder / "dphubert.pth")
    return ENCODERS.build("dphubert", "cpu", weights=folder / "dphubert.pth")


def clip(seconds):
    return torch.from_numpy(voice(seconds, 16000))


@pytest.mark.parametrize("seconds", CASE.manifest["inputs"]["lengths_s"])
def test_parity_through_the_published_file(encoder, seconds):
    np.testing.assert_allclose(encoder.encode(clip(seconds)), CASE[f"out_{seconds}"][0], **TOLERANCE)


def test_parity_of_the_layers(encoder):
    network = encoder.network
    with torch.no_grad():
        extracted = network.feature_extractor(clip(1.3)[None])
        np.testing.assert_allclose(extracted, CASE["debug_extractor_1.3"], rtol=1e-4, atol=1e-6)
        hidden = network.encoder.feature_projection(extracted)
        np.testing.assert_allclose(hidden, CASE["debug_projection_1.3"], **TOLERANCE)
        transformer = network.encoder.transformer
        hidden = transformer.layer_norm(hidden + transformer.pos_conv_embed(hidden))
        for number, layer in enumerate(transformer.layers, start=1):
            hidden = layer(hidden, None)
            np.testing.assert_allclose(hidden, CASE[f"debug_layer{number}_1.3"], **TOLERANCE)


def test_parity_of_the_full_size():
    """Before pruning; what is published has fewer and smaller parts."""
    shapes = CASE.manifest["default_state_dict"]
    state = {name: torch.empty(shape, device="meta") for name, (shape, _) in shapes.items()}
    network = load_network(state, CASE.manifest["config"]["unpruned"], "dphubert.pth")
    assert {tensor.device.type for tensor in network.state_dict().values()} == {"meta"}
    assert len(network.encoder.transformer.layer_norm.weight) == ENCODERS["dphubert"].ssl_dim


def test_two_calls_are_equal(tmp_path):
    """The published one stays in training mode; its dropouts are in the file."""
    encoder = build(tmp_path, **CASE.manifest["config"]["likely_published_dropout"])
    assert not encoder.network.training
    units = encoder.encode(clip(1.3))
    assert torch.equal(units, encoder.encode(clip(1.3)))
    np.testing.assert_allclose(units, CASE["out_1.3"][0], **TOLERANCE)


def test_a_normalised_wave_has_mean_0_and_variance_1(encoder, tmp_path):
    normalising = build(tmp_path, normalize_waveform=True)
    audio = clip(1.3)
    torch.testing.assert_close(
        normalising.encode(audio), encoder.encode(F.layer_norm(audio, audio.shape)), rtol=0, atol=1e-6
    )
    torch.testing.assert_close(normalising.encode(5 * audio), normalising.encode(audio), rtol=0, atol=1e-3)


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


def test_padding_has_no_influence_whatever_is_in_it(encoder):
    torch.manual_seed(3)
    features = torch.randn(1, 90, 48)
    mask = torch.arange(90)[None] < 60
    with torch.no_grad():
        units = encoder.network.units(features.clone(), mask)[:, :60]
        alone = encoder.network.units(features[:, :60].clone())
    torch.testing.assert_close(units, alone, rtol=0, atol=2e-5)


def test_units_in_bfloat16_are_near(encoder, tmp_path):
    path = write_encoder("dphubert", tmp_path)
    low = ENCODERS.build("dphubert", "cpu", weights=path, dtype=torch.bfloat16)
    units, wanted = low.encode(clip(1.3)), encoder.encode(clip(1.3))
    assert units.dtype == torch.float32
    # 8 bits of mantissa, through five layers
    assert 1e-4 * wanted.norm() < (units - wanted).norm() < 0.05 * wanted.norm()


def test_parts_that_are_gone_have_no_tensors(encoder):
    layers = encoder.network.encoder.transformer.layers
    assert [layer.attention is not None for layer in layers] == CONFIG["encoder_use_attention"]
    assert [layer.feed_forward is not None for layer in layers] == CONFIG["encoder_use_feed_forward"]
    assert layers[1].attention.q_proj.weight.shape == (6 * 8, 48)


def test_a_missing_or_unknown_tensor_is_named(tmp_path):
    state = CASE.state_dict()
    del state["encoder.transformer.layers.4.attention.k_proj.bias"]
    with pytest.raises(CheckpointError, match=r"layers\.4\.attention\.k_proj\.bias is missing"):
        build(tmp_path, state)
    state = {**CASE.state_dict(), "encoder.transformer.layers.3.attention.k_proj.bias": torch.zeros(8)}
    with pytest.raises(CheckpointError, match=r"layers\.3\.attention\.k_proj\.bias is unknown"):
        build(tmp_path, state)


def test_a_dpwavlm_is_told_apart(tmp_path):
    with pytest.raises(CheckpointError, match=r"dphubert\.pth.*DPWavLM.*needs a DPHuBERT"):
        build(tmp_path, without="encoder_num_heads", encoder_remaining_heads=[[0, 1]] * 5)


def test_other_models_are_refused_by_name(tmp_path):
    with pytest.raises(CheckpointError, match="it seems to be a HuBERT"):
        ENCODERS.build("dphubert", "cpu", weights=write_encoder("vec768l12", tmp_path))
    torch.save({"state_dict": load_case("encoder_wavlmbase").state_dict(), "config": {}}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="no DPHuBERT checkpoint; it seems to be a WavLM"):
        ENCODERS.build("dphubert", "cpu", weights=tmp_path / "x.pth")


def test_a_file_without_sizes_is_refused(tmp_path):
    torch.save(CASE.state_dict(), tmp_path / "bare.pth")
    with pytest.raises(CheckpointError, match=r"bare\.pth.*'config'"):
        ENCODERS.build("dphubert", "cpu", weights=tmp_path / "bare.pth")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("encoder_embed_dim", None),
        ("encoder_embed_dim", -48),
        ("encoder_embed_dim", 1 << 40),
        ("encoder_embed_dim", 48.0),
        ("encoder_head_dim", True),
        ("encoder_pos_conv_groups", 7),
        ("encoder_num_layers", 6),
        ("encoder_num_heads", [3, 6, 1, 0]),
        ("encoder_num_heads", [3, 6, 0, 0, 4]),
        ("encoder_num_heads", "36104"),
        ("encoder_ff_interm_features", [40, 17, 0, 64, "5"]),
        ("extractor_conv_layer_config", [[24, 10, 5]]),
        ("extractor_conv_layer_config", [[24, 10]] * 7),
        ("extractor_conv_layer_config", [[1, 1, 1]] * 1000),
        ("extractor_conv_layer_config", None),
        ("extractor_mode", "layer_norm"),
        ("encoder_layer_norm_first", True),
    ],
)
def test_sizes_that_make_no_sense_are_refused(tmp_path, key, value):
    with pytest.raises(CheckpointError, match=r"dphubert\.pth"):
        build(tmp_path, **{key: value})


def test_endless_layers_are_refused():
    many = 60_000
    config = {
        **CONFIG,
        "encoder_num_layers": many,
        "encoder_use_attention": [True] * many,
        "encoder_num_heads": [1] * many,
    }
    with pytest.raises(CheckpointError, match="encoder_use_attention and encoder_num_heads"):
        sizes_of(config, "dphubert.pth")
