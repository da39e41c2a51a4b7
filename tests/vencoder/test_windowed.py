"""Batches, padding and windows of the encoders with attention: HuBERT, WavLM and DPHuBERT."""

import pytest
import torch

from tests.vencoder.reduced import clip
from vencoder import windowed


@pytest.fixture(params=["vec768l12", "hubertsoft", "cnhubertlarge", "wavlmbase+", "dphubert"])
def encoder(request, reduced):
    return reduced(request.param)


def record(monkeypatch, network, method):
    """Shapes of what a method of the network is called with."""
    shapes, call = [], getattr(network, method)
    monkeypatch.setattr(network, method, lambda x, *rest: shapes.append(x.shape) or call(x, *rest))
    return shapes


def test_clips_of_similar_length_are_a_padded_batch(encoder, monkeypatch):
    monkeypatch.setattr(windowed, "LONGEST", 300)  # the last is cut
    clips = [clip(seconds) for seconds in (0.4, 3.0, 0.02, 2.8, 2.9, 0.41, 7.0)]
    wanted = [encoder.encode(audio) for audio in clips]
    shapes = record(monkeypatch, encoder.network, "units")
    units = encoder.encode_batch(clips)
    assert [shape[0] for shape in shapes] == [2, 2, 3, 2, 1]  # windows of the longest come first
    # float32 sums in another order
    torch.testing.assert_close(units, wanted, rtol=0, atol=2e-5)


def test_a_long_clip_is_computed_in_windows_and_without_a_matrix_of_all_pairs(encoder, monkeypatch):
    """Attention and normalization see a window instead of the whole song; nothing else differs."""
    audio = clip(45.0)
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
    # the eager product of 2,000 units squared, for 12 heads, would take 190 MB in every layer
    if encoder.name != "wavlmbase+":  # which computes it in blocks of rows
        assert encoder.network.hubert.config._attn_implementation == "sdpa"
