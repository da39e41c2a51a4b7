"""The lists of a retrieval index, made and filled in time that is nearly proportional to the vectors.

Comparing each vector with every centroid costs n · L, and L grows with n. So k-means
first makes about √L groups of vectors, then the lists of each group from its own
vectors, and a vector's list is looked for in the few groups nearest to it. Searches
are not affected: they compare all centroids.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cluster.search import load_faiss

_FEW = 64  # lists, which are one group
_GROUPS_SEARCHED = 2  # for a vector's list
_STEPS = 5  # of k-means


@dataclass(frozen=True, eq=False)
class Lists:
    """Centroids of lists, those of a group side by side."""

    centroids: np.ndarray  # (L, D)
    groups: np.ndarray  # (G, D), centroids of the groups
    ends: np.ndarray  # (G,), where the lists of each group end

    @classmethod
    def fit(cls, vectors: np.ndarray, n_lists: int) -> Lists:
        """Make ``n_lists`` lists from a sample (n, D) of at least twice as many vectors."""
        n_groups = 1 if n_lists <= _FEW else round(n_lists**0.5)
        groups = _kmeans(vectors, n_groups)
        labels = _nearest(vectors, groups)
        counts = _shares(np.bincount(labels, minlength=n_groups), n_lists)
        parts = [_kmeans(vectors[labels == group], counts[group]) for group in np.flatnonzero(counts)]
        return cls(np.concatenate(parts), groups[counts > 0], counts[counts > 0].cumsum())

    def assign(self, vectors: np.ndarray) -> np.ndarray:
        """List (n,) of each of the vectors (n, D)."""
        n_searched = min(_GROUPS_SEARCHED, len(self.groups))
        near = load_faiss().knn(vectors, self.groups, n_searched)[1].ravel()
        order = np.argsort(near, kind="stable")
        bounds = np.searchsorted(near[order], np.arange(len(self.groups) + 1))
        best = np.full(len(vectors), np.inf, np.float32)
        labels = np.zeros(len(vectors), np.int64)
        for group, end in enumerate(self.ends):
            rows = order[bounds[group] : bounds[group + 1]] // n_searched
            if not len(rows):
                continue
            begin = self.ends[group - 1] if group else 0
            distances, found = load_faiss().knn(vectors[rows], self.centroids[begin:end], 1)
            nearer = distances[:, 0] < best[rows]
            best[rows[nearer]] = distances[nearer, 0]
            labels[rows[nearer]] = begin + found[nearer, 0]
        return labels


def _nearest(vectors: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    return load_faiss().knn(vectors, centroids, 1)[1][:, 0]


def _shares(sizes: np.ndarray, total: int) -> np.ndarray:
    """``total`` lists distributed in proportion to ``sizes`` (G,), by largest remainders."""
    wanted = sizes * total / sizes.sum()
    counts = np.floor(wanted).astype(np.int64)
    counts[np.argsort(counts - wanted, kind="stable")[: total - counts.sum()]] += 1
    return counts


def _kmeans(vectors: np.ndarray, k: int) -> np.ndarray:
    """Centroids (k, D) of vectors (n, D)."""
    if k == 1:
        return vectors.mean(0, keepdims=True)
    kmeans = load_faiss().Kmeans(
        vectors.shape[1],
        int(k),
        niter=_STEPS,
        seed=1,
        min_points_per_centroid=1,
        max_points_per_centroid=len(vectors),
    )
    kmeans.train(vectors)
    return kmeans.centroids
