from training.sampler import EpochSampler


def test_an_epoch_can_start_in_its_middle():
    sampler = EpochSampler(10, seed=3)
    whole = list(sampler)
    sampler.start = 4
    assert list(sampler) == whole[4:] and sorted(whole) == list(range(10))
    sampler.epoch, sampler.start = 1, 0
    assert list(sampler) != whole
