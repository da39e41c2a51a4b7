import numpy as np
import pytest

from cluster import lists
from cluster.lists import Lists
from cluster.search import Vectors
from tests.cluster.data import draw


def squared(vectors, centroids):
    return ((vectors[:, None] - centroids) ** 2).sum(2)


def test_few_lists_are_one_group_and_each_vector_goes_to_the_nearest():
    vectors = draw(640)
    made = Lists.fit(vectors, 16)
    assert len(made.groups) == 1 and made.ends.tolist() == [16]
    np.testing.assert_array_equal(made.assign(vectors), squared(vectors, made.centroids).argmin(1))


def test_many_lists_lie_in_groups_and_nearly_each_vector_goes_to_the_nearest():
    vectors, others = draw(4000, seed=1), draw(500, seed=2)
    made = Lists.fit(vectors, 400)
    assert made.centroids.shape == (400, vectors.shape[1]) and len(made.groups) == 20
    assert made.ends[-1] == 400 and (np.diff(made.ends, prepend=0) > 0).all()
    distances = squared(others, made.centroids)
    chosen = np.take_along_axis(distances, made.assign(others)[:, None], 1)[:, 0]
    # not each: the nearest centroid may lie in a group that is not among the nearest two
    assert np.mean(chosen <= distances.min(1) + 1e-3) > 0.95


def test_a_vector_is_compared_with_few_of_many_centroids(monkeypatch):
    vectors = draw(20_000, seed=1)
    made = Lists.fit(vectors[:10_000], 1000)
    faiss, compared = lists.load_faiss(), []
    knn = faiss.knn
    monkeypatch.setattr(faiss, "knn", lambda a, b, k: compared.append(len(a) * len(b)) or knn(a, b, k))
    made.assign(vectors)
    assert sum(compared) < 0.2 * 1000 * len(vectors)


@pytest.mark.parametrize("sizes", [[5, 0, 95], [1, 1, 1], [30, 30, 41]])
def test_lists_are_shared_in_proportion_and_never_more_than_vectors(sizes):
    for total in range(1, sum(sizes) + 1):
        counts = lists._shares(np.array(sizes), total)
        assert counts.sum() == total and (counts <= sizes).all()
        assert (np.abs(counts - np.array(sizes) * total / sum(sizes)) < 1).all()


def test_vectors_that_are_all_the_same_make_lists_too():
    vectors = np.ones((1000, 4), np.float32)
    made = Lists.fit(vectors, 100)
    labels = made.assign(vectors)
    found = Vectors.in_lists(
        made.centroids,
        np.bincount(labels, minlength=100),
        [vectors[labels == number] for number in range(100)],
        1,
    ).nearest(vectors[:1], 8)
    np.testing.assert_array_equal(found[1], 1.0)
