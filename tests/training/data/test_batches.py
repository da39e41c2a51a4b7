"""What both data sets promise."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from modules.dataset.features import save_feature
from tests.training.support.clips import diffusion_config, make_clips, with_train
from tests.training.support.runs import CPU
from training.data.batches import collate
from training.data.dataset import GlowDataset
from training.data.diffusion_dataset import DiffusionDataset


def glow(clips, augment=True, all_in_mem=False, **train):
    return GlowDataset(clips, with_train(all_in_mem=all_in_mem, **train), augment=augment)


def diffusion(clips, augment=True, all_in_mem=False, **train):
    config = diffusion_config(**train)
    return DiffusionDataset(clips, config, augment=augment, cache=CPU if all_in_mem else None)


@pytest.fixture
def clips(tmp_path):
    return make_clips(tmp_path, {"a": [160, 400]}, perturbed=3, shift=2.0)


def same(one, two):
    return all(torch.equal(value, vars(two)[name]) for name, value in vars(one).items() if value is not None)


@pytest.mark.parametrize("build", [glow, diffusion])
def test_items_follow_from_seed_epoch_and_number_alone(clips, build):
    data, cached = build(clips), build(clips, all_in_mem=True)
    for number in (3, 0, 2):  # any order, from files or from memory
        assert same(data[0, number], cached[0, number])
    assert any(not torch.equal(data[0, n].mel, data[1, n].mel) for n in range(len(data)))
    other = build(clips, seed=7)
    assert any(not torch.equal(data[0, n].mel, other[0, n].mel) for n in range(len(data)))


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("build", [glow, diffusion])
def test_workers_do_not_change_the_data(clips, build, in_memory):
    data = build(clips, all_in_mem=in_memory)
    batches = [[(3, 0), (3, 3)], [(4, 2)]]
    loader = DataLoader(
        data, batch_sampler=batches, collate_fn=collate, num_workers=1, multiprocessing_context="spawn"
    )
    for items, batch in zip(batches, loader, strict=True):
        assert same(batch, collate([data[item] for item in items]))


@pytest.mark.parametrize("build", [glow, diffusion])
def test_perturbed_and_noisy_units_are_for_training_only(clips, build):
    """Units that carry the singer's voice would else teach the model to depend on it."""
    data = build(clips, perturb_ratio=0.5)
    perturbed = [bool(data[0, item].units.mean() > 50) for item in range(len(data))]
    assert 0.2 < sum(perturbed) / len(data) < 0.8
    assert build(clips, augment=False)[0, 0].units.mean() < 50
    plain, noisy = (build(clips, perturb_ratio=0.0, unit_noise=noise) for noise in (0.0, 0.5))
    assert 0.4 < (noisy[0, 3].units - plain[0, 3].units).std() < 0.6
    exact, noisy = (build(clips, augment=False, unit_noise=noise) for noise in (0.0, 0.5))
    assert torch.equal(exact[0, 0].units, noisy[0, 0].units)


def test_collate_pads_with_zeros_and_skips_what_is_missing(clips):
    data = glow(clips, augment=False)
    short = replace(data[0, 0], mel=data[0, 0].mel[..., :9])
    batch = collate([short, data[0, 0]])
    assert batch.volume is None and len(batch) == 2 and batch.mel.is_contiguous()
    assert batch.mel.shape == (2, 128, 160) and batch.speaker_id.tolist() == [0, 0]
    assert not batch.mel[0, :, 9:].any() and torch.equal(batch.mel[0, :, :9], short.mel[0])


@pytest.mark.parametrize("build", [GlowDataset, DiffusionDataset])
def test_a_clip_in_both_lists_is_split_in_time(build, tmp_path):
    """Its first tenth validates, and no window of training reaches into it; a short clip is not split."""
    lengths = [600, 400, 800]
    clips = make_clips(tmp_path, {"a": lengths})
    for number, (wav, n) in enumerate(zip(clips, lengths, strict=True)):  # F0 tells clip and frame
        save_feature(wav, "f0", np.stack([1000.0 * number + np.arange(n), np.ones(n)]).astype(np.float32))
    config = with_train() if build is GlowDataset else diffusion_config({"use_pitch_aug": False})
    validation = build(clips[:2], config, augment=False, others=clips)
    assert [validation[0, n].f0.shape[1] for n in range(2)] == [60, 400]
    data = build(clips, config, augment=True, others=clips[:2])
    begins = [int(data[epoch, n].f0.min()) for epoch in range(30) for n in range(len(data))]
    first = [min(begin % 1000 for begin in begins if begin // 1000 == number) for number in range(3)]
    assert 60 <= first[0] < 70 and first[1] < 10 and first[2] < 10
    assert max(data.lengths) == min(data.lengths) and len(data) < len(build(clips, config, augment=True))
