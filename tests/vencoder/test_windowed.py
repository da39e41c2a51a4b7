"""Batches, padding and windows of the encoders with attention: HuBERT, WavLM and DPHuBERT."""

import pytest
import torch

from tests.support.golden_cases import voice
from tests.support.published import write_encoder
from vencoder import ENCODERS, windowed

NAMES = ["vec768l12", "hubertsoft", "cnhubertlarge", "wavlmbase+", "dphubert"]


@pytest.fixture(scope="module", params=NAMES)
def encoder(request, tmp_path_factory):
    weights = write_encoder(request.param, tmp_path_factory.mktemp("encoder"))
    return ENCODERS.build(request.param, "cpu", weights=weights)


def record(monkeypatch, network, method):
    """Shapes of what a method of the network is called with."""
    shapes, call = [], getattr(network, method)
    monkeypatch.setattr(network, method, lambda x, *rest: shapes.append(x.shape) or call(x, *rest))
    return shapes


def test_clips_of_similar_length_are_one_batch(encoder, monkeypatch):
    audio = torch.from_numpy(voice(3.0, 16000))
    shapes = record(monkeypatch, encoder.network, "units")
    encoder.encode_batch([audio[:n_samples] for n_samples in (16000, 15000, 14000, 13500)])
    assert [shape[0] for shape in shapes] == [4]


def test_a_mixed_batch_is_returned_in_order(encoder, monkeypatch):
    monkeypatch.setattr(windowed, "LONGEST", 300)  # the last is cut
    clips = [torch.from_numpy(voice(seconds, 16000)) for seconds in (0.4, 3.0, 0.02, 2.8, 2.9, 0.41, 7.0)]
    for units, alone in zip(encoder.encode_batch(clips), map(encoder.encode, clips), strict=True):
        # float32 sums in another order
        torch.testing.assert_close(units, alone, rtol=0, atol=2e-5)


def test_padding_has_no_influence(encoder):
    torch.manual_seed(3)
    features = torch.randn(1, 90, encoder.network.features(torch.zeros(1, 400)).shape[2])
    mask = torch.arange(90)[None] < 60
    with torch.no_grad():
        units = encoder.network.units(features.clone(), mask)[:, :60]
        alone = encoder.network.units(features[:, :60].clone())
    torch.testing.assert_close(units, alone, rtol=0, atol=2e-5)


def test_a_long_clip_is_computed_in_windows_with_little_difference(encoder, monkeypatch):
    """Attention and normalization see a window instead of the whole song; nothing else differs."""
    audio = torch.from_numpy(voice(45.0, 16000))
    with monkeypatch.context() as patch:
        patch.setattr(windowed, "LONGEST", 10**6)
        whole = encoder.encode(audio)
    samples = record(monkeypatch, encoder.network, "features")
    cut = encoder.encode(audio)
    assert len(samples) == 2 and max(shape[1] for shape in samples) < 1300 * 320  # halves, and 2 s more
    assert cut.shape == whole.shape
    # 0.01 to 0.03 on this voice, 0.07 on noise that swells and fades: a slice of a song differs as much
    assert (cut - whole).norm() < 0.05 * whole.norm()
    assert (cut - whole).norm(dim=0).max() < 0.2 * whole.norm(dim=0).mean()


def test_attention_needs_no_matrix_of_all_pairs(encoder):
    """The eager product of 2,000 units squared, for 12 heads, would take 190 MB in every layer."""
    if encoder.name != "wavlmbase+":  # which computes it in blocks of rows
        assert encoder.network.hubert.config._attn_implementation == "sdpa"
