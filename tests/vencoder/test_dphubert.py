"""DPHuBERT from the file that its training writes, against its authors' numbers."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from modules.common.errors import CheckpointError
from tests.support.golden_cases import load_case
from tests.vencoder.reduced import clip, load_full_size, tolerance
from vencoder import ENCODERS
from vencoder.dphubert import load_network, sizes_of

CASE = load_case("encoder_dphubert")
CONFIG = CASE.manifest["config"]["reduced"]


def build(folder, state=None, without="", **config):
    config = {key: value for key, value in {**CONFIG, **config}.items() if key != without}
    torch.save({"state_dict": state or CASE.state_dict(), "config": config}, folder / "dphubert.pth")
    return ENCODERS.build("dphubert", "cpu", weights=folder / "dphubert.pth")


def test_parity_of_the_layers_and_of_the_full_size(reduced):
    encoder = reduced("dphubert")
    network, hubert = encoder.network, encoder.network.hubert
    with torch.no_grad():
        extracted = hubert.feature_extractor(clip(1.3)[None]).mT * network.dummy_weight
        np.testing.assert_allclose(extracted, CASE["debug_extractor_1.3"], rtol=1e-4, atol=1e-6)
        hidden = hubert.feature_projection(extracted)
        np.testing.assert_allclose(hidden, CASE["debug_projection_1.3"], **tolerance(CASE))
        hidden = hubert.encoder.layer_norm(hidden + hubert.encoder.pos_conv_embed(hidden))
        for number, layer in enumerate(hubert.encoder.layers, start=1):
            hidden = layer(hidden)
            np.testing.assert_allclose(hidden, CASE[f"debug_layer{number}_1.3"], **tolerance(CASE))
    # before pruning; the published file has fewer and smaller parts
    config = CASE.manifest["config"]["unpruned"]
    network = load_full_size(CASE, lambda state: load_network(state, config, "dphubert.pth"))
    assert network.ssl_dim == ENCODERS["dphubert"].ssl_dim


def test_dropout_of_the_file_has_no_effect(tmp_path):
    """The published code stays in training mode."""
    encoder = build(tmp_path, **CASE.manifest["config"]["likely_published_dropout"])
    units = encoder.encode(clip(1.3))
    assert torch.equal(units, encoder.encode(clip(1.3)))
    np.testing.assert_allclose(units, CASE["out_1.3"][0], **tolerance(CASE))


def test_a_normalized_waveform_has_mean_0_and_variance_1(reduced, tmp_path):
    normalizing = build(tmp_path, normalize_waveform=True)
    audio = clip(1.3)
    torch.testing.assert_close(
        normalizing.encode(audio),
        reduced("dphubert").encode(F.layer_norm(audio, audio.shape)),
        rtol=0,
        atol=1e-6,
    )
    torch.testing.assert_close(normalizing.encode(5 * audio), normalizing.encode(audio), rtol=0, atol=1e-3)


def test_other_models_and_tensors_of_a_pruned_part_are_refused_by_name(tmp_path):
    with pytest.raises(CheckpointError, match=r"dphubert\.pth.*DPWavLM.*needs a DPHuBERT"):
        build(tmp_path, without="encoder_num_heads", encoder_remaining_heads=[[0, 1]] * 5)
    torch.save({"state_dict": load_case("encoder_wavlmbase").state_dict(), "config": {}}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="not a DPHuBERT checkpoint; it seems to be a WavLM"):
        ENCODERS.build("dphubert", "cpu", weights=tmp_path / "x.pth")
    torch.save(CASE.state_dict(), tmp_path / "bare.pth")
    with pytest.raises(CheckpointError, match=r"bare\.pth.*'config'"):
        ENCODERS.build("dphubert", "cpu", weights=tmp_path / "bare.pth")
    state = {**CASE.state_dict(), "encoder.transformer.layers.3.attention.k_proj.bias": torch.zeros(8)}
    with pytest.raises(CheckpointError, match=r"layers\.3\.attention\.k_proj\.bias is unknown"):
        build(tmp_path, state)


def test_unusable_sizes_are_refused():
    many: dict[str, object] = {"encoder_num_layers": 60_000}
    many |= {f"encoder_{name}": [1] * 60_000 for name in ("use_attention", "num_heads")}
    for changes in (
        {"encoder_embed_dim": None},
        {"encoder_embed_dim": -48},
        {"encoder_embed_dim": 1 << 40},
        {"encoder_embed_dim": 48.0},
        {"encoder_head_dim": True},
        {"encoder_pos_conv_groups": 7},
        {"encoder_num_layers": 6},
        {"encoder_num_heads": [3, 6, 1, 0]},
        {"encoder_num_heads": [3, 6, 0, 0, 4]},
        {"encoder_num_heads": "36104"},
        {"encoder_ff_interm_features": [40, 17, 0, 64, "5"]},
        {"extractor_conv_layer_config": [[24, 10, 5]]},
        {"extractor_conv_layer_config": [[24, 10]] * 7},
        {"extractor_conv_layer_config": [[1, 1, 1]] * 1000},
        {"extractor_conv_layer_config": None},
        {"extractor_mode": "layer_norm"},
        {"encoder_layer_norm_first": True},
        many,
    ):
        with pytest.raises(CheckpointError, match=r"dphubert\.pth"):
            sizes_of({**CONFIG, **changes}, "dphubert.pth")
            pytest.fail(str(changes))
