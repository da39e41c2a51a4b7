import numpy as np
import pytest

from modules.common.errors import ConfigError
from training.data.sampler import EpochBatches

LENGTHS = np.random.default_rng(0).integers(20, 512, 1000)


def epochs(n_items=1000, seed=3, **changes):
    return EpochBatches(LENGTHS[:n_items], batch_size=6, seed=seed, **changes)


@pytest.mark.parametrize("n_items", [4, 5, 7, 23, 24, 25, 100, 1000])
@pytest.mark.parametrize(("accumulate", "n_ranks"), [(1, 1), (1, 4), (3, 1), (2, 3)])
def test_every_item_is_used_once_and_no_process_is_left_out(n_items, accumulate, n_ranks):
    cut = epochs(n_items, accumulate=accumulate, n_ranks=n_ranks)
    steps = cut.steps(0)
    assert len(steps) == cut.n_steps
    assert sorted(np.concatenate([batch for step in steps for batch in step])) == list(range(n_items))
    for step in steps:
        assert len(step) % n_ranks == 0 and len(step) <= accumulate * n_ranks
        sizes = [len(batch) for batch in step]
        assert min(sizes) >= 1 and max(sizes) <= 6 + (n_items < 6 * n_ranks * accumulate)
        assert max(sizes) - min(sizes) <= 1  # no process waits for another


def test_epochs_and_seeds_differ_a_run_repeats_and_too_few_windows_are_refused():
    def flat(cut, epoch):
        return np.concatenate([batch for step in cut.steps(epoch) for batch in step]).tolist()

    assert flat(epochs(), 1) == flat(epochs(), 1)
    assert flat(epochs(), 1) != flat(epochs(), 2) and flat(epochs(), 1) != flat(epochs(seed=4), 1)
    with pytest.raises(ConfigError, match="3 training windows are too few for 4 processes"):
        epochs(3, n_ranks=4)


def test_batches_of_like_length_need_little_padding_and_their_order_stays_random():
    assert epochs().padding() < 0.1 < 0.3 < epochs(bucket=False).padding()
    # short clips first and long ones last would be another training
    means = [LENGTHS[np.concatenate(step)].mean() for step in epochs().steps(0)]
    assert abs(np.corrcoef(np.arange(len(means)), means)[0, 1]) < 0.3
