import pytest
import torch

from modules.nn.masks import replicate_pad


@pytest.mark.parametrize("garbage", [0.0, float("nan")])
def test_replicate_pad_reads_real_frames_only(garbage):
    x = torch.tensor([[[1.0, 2.0, 3.0]], [[4.0, 5.0, garbage]]])
    held = replicate_pad(x, torch.tensor([3, 2]), 4)
    assert held.tolist() == [[[1, 2, 3, 3]], [[4, 5, 5, 5]]]
    assert replicate_pad(x[:1], torch.tensor([0]), 2).shape == (1, 1, 2)
