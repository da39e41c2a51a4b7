import pytest
import torch

from modules.nn.masks import length_mask, replicate_pad, round_up


def test_round_up():
    assert [round_up(n, 4) for n in (0, 1, 4, 5)] == [0, 4, 4, 8]
    assert round_up(torch.tensor([0, 1, 4, 5]), 2).tolist() == [0, 2, 4, 6]


def test_length_mask():
    assert length_mask(torch.tensor([0, 2, 3]), 3).tolist() == [[[0, 0, 0]], [[1, 1, 0]], [[1, 1, 1]]]


@pytest.mark.parametrize("garbage", [0.0, float("nan")])
def test_replicate_pad_reads_real_frames_only(garbage):
    x = torch.tensor([[[1.0, 2.0, 3.0]], [[4.0, 5.0, garbage]]])
    held = replicate_pad(x, torch.tensor([3, 2]), 4)
    assert held.tolist() == [[[1, 2, 3, 3]], [[4, 5, 5, 5]]]
    assert replicate_pad(x[:1], torch.tensor([0]), 2).shape == (1, 1, 2)
