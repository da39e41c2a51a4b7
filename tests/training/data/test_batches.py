"""What both data sets promise."""

from dataclasses import replace

import pytest
import torch
from torch.utils.data import DataLoader

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
