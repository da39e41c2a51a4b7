import math
from itertools import product

import pytest
import torch

from modules.config import ModelConfig
from modules.nn.attention import WINDOW, CausalAttention, ConvFeedForward, RelativeAttention, Transformer


def attend_frame_by_frame(layer, x, sees, relative):
    """Attention of one item (C, N), written as the papers write it."""
    channels, frames = x.shape
    depth = channels // layer.n_heads
    q, k, v = (
        (conv.weight[:, :, 0] @ x + conv.bias[:, None]).view(layer.n_heads, depth, frames)
        for conv in (layer.conv_q, layer.conv_k, layer.conv_v)
    )
    out = torch.zeros(layer.n_heads, depth, frames)
    for head in range(layer.n_heads):
        for i in range(frames):
            seen = [j for j in range(frames) if sees(i, j)]
            near = {j: j - i + WINDOW for j in seen if relative and abs(j - i) <= WINDOW}
            keys = [k[head, :, j] + (layer.emb_rel_k[0, near[j]] if j in near else 0) for j in seen]
            values = [v[head, :, j] + (layer.emb_rel_v[0, near[j]] if j in near else 0) for j in seen]
            scores = torch.stack([q[head, :, i] @ key for key in keys]) / math.sqrt(depth)
            out[head, :, i] = torch.stack(values, 1) @ scores.softmax(0)
    return layer.conv_o.weight[:, :, 0] @ out.view(channels, frames) + layer.conv_o.bias[:, None]


@pytest.mark.parametrize("frames", [1, 3, WINDOW + 1, 15])
@torch.no_grad()
def test_relative_attention_is_the_papers(frames):
    torch.manual_seed(0)
    layer = RelativeAttention(8, 2, 0.0)
    x, lengths = torch.randn(2, 8, frames), (frames, max(1, frames - 2))
    mask = (torch.arange(frames) < torch.tensor(lengths)[:, None]).float()[:, None]
    found = layer(x.mT, mask.mT).mT
    for item, length in enumerate(lengths):
        want = attend_frame_by_frame(layer, x[item], lambda _, j, end=length: j < end, relative=True)
        torch.testing.assert_close(found[item], want, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_causal_attention_is_the_papers():
    torch.manual_seed(0)
    layer, x = CausalAttention(8, 2, 0.0), torch.randn(1, 8, 9)
    want = attend_frame_by_frame(layer, x[0], lambda i, j: j <= i, relative=False)
    torch.testing.assert_close(layer(x.mT, torch.ones(1, 9, 1))[0].mT, want, rtol=1e-5, atol=1e-6)


def test_feed_forward_keeps_the_frame_count():
    for causal, kernel_size in product((False, True), (1, 3, 4)):
        layer = ConvFeedForward(4, 6, kernel_size, 0.0, causal)
        assert layer(torch.randn(2, 7, 4), torch.ones(2, 7, 1)).shape == (2, 7, 4)


def transformer(causal, **changes):
    torch.manual_seed(0)
    return Transformer(ModelConfig(hidden_channels=8, filter_channels=12, n_layers=2, **changes), causal)


@pytest.mark.parametrize("causal", [False, True])
@torch.no_grad()
def test_padding_is_silent_and_dropout_for_training(causal):
    stack, x = transformer(causal), torch.randn(1, 10, 8)
    mask = (torch.arange(10) < 6).float()[None, :, None]
    padded = stack(x, mask)
    torch.testing.assert_close(padded[:, :6], stack(x[:, :6], mask[:, :6]), rtol=1e-5, atol=1e-5)
    assert not padded[:, 6:].any()
    stack, mask = transformer(causal, p_dropout=0.5), torch.ones(1, 10, 1)
    assert not torch.equal(stack(x, mask), stack(x, mask))
    stack.eval()
    assert torch.equal(stack(x, mask), stack(x, mask))
