from vencoder.batching import batches, windows


def test_windows_keep_every_unit_once_and_overlap():
    for n_units in (1, 99, 100, 101, 180, 1000, 12345):
        cut = windows(n_units, longest=100, margin=10)
        assert [unit for window in cut for unit in range(window.first, window.last)] == list(range(n_units))
        kept = [window.last - window.first for window in cut]
        assert max(kept) - min(kept) <= 1
        assert len(cut) == 1 or n_units > 100
        for window in cut:
            assert window.stop - window.start <= 100
            assert window.start == max(0, window.first - 10) or len(cut) == 1
            assert window.stop == min(n_units, window.last + 10)


def test_batches_are_within_the_limit_with_little_padding():
    lengths = [7, 300, 50, 49, 48, 290, 10, 1, 51, 2000]
    groups = list(batches(lengths, limit=600))
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    for group in groups:
        longest = max(lengths[index] for index in group)
        assert len(group) == 1 or longest * len(group) <= 600
        assert min(lengths[index] for index in group) >= 0.8 * longest
    assert [8, 2, 3, 4] in groups
    assert list(batches([], limit=600)) == []
