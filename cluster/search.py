"""Nearest neighbours in a set of vectors, by faiss."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import numpy as np

_BATCH = 8192  # queries searched at once: as many neighbours fit in 200 MB, and a slice of a song has 1500


def load_faiss() -> ModuleType:
    """Import faiss.

    On macOS its wheels bring an OpenMP of their own beside torch's, and crash
    when both run threads; there it keeps to one.
    """
    if sys.platform == "darwin":
        os.environ.setdefault("KMP_DUPLICATE_LIB_OK", "TRUE")
    import faiss

    if sys.platform == "darwin":
        faiss.omp_set_num_threads(1)
    return faiss


class Vectors:
    """Vectors (n, D) that can be searched; made by :meth:`flat` or :meth:`in_lists`."""

    def __init__(self, index: Any, parts: Any = None) -> None:
        self._index = index
        self._parts = parts  # kept alive for the index

    @classmethod
    def flat(cls, vectors: np.ndarray) -> Vectors:
        """Vectors (n, D) that are all compared: exact, and fast enough up to some ten thousand."""
        index = load_faiss().IndexFlatL2(vectors.shape[1])
        index.add(np.ascontiguousarray(vectors, np.float32))
        return cls(index)

    @classmethod
    def in_lists(
        cls, centroids: np.ndarray, sizes: np.ndarray, lists: Iterable[np.ndarray], nprobe: int
    ) -> Vectors:
        """Vectors of which only those in the ``nprobe`` lists nearest to a query are compared.

        The L lists have ``centroids`` (L, D) and ``sizes`` (L,); ``lists`` gives the vectors (n, D) of each
        in turn. Empty ones are dropped: a search must find something.
        """
        faiss = load_faiss()
        used = sizes > 0
        n_lists, dims = int(used.sum()), centroids.shape[1]
        quantizer = faiss.IndexFlatL2(dims)
        quantizer.add(np.ascontiguousarray(centroids[used], np.float32))
        entries = faiss.ArrayInvertedLists(n_lists, 4 * dims)
        number = total = 0
        for vectors in lists:
            if n := len(vectors):
                codes = np.ascontiguousarray(vectors, np.float32).view(np.uint8)
                ids = np.arange(total, total + n, dtype=np.int64)
                entries.add_entries(number, n, faiss.swig_ptr(ids), faiss.swig_ptr(codes))
                number, total = number + 1, total + n
        index = faiss.IndexIVFFlat(quantizer, dims, n_lists)
        index.replace_invlists(entries, False)
        index.ntotal = total
        index.nprobe = max(1, min(nprobe, n_lists))
        return cls(index, (quantizer, entries))

    def __len__(self) -> int:
        return self._index.ntotal

    def nearest(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Squared distances (U, k) and the vectors (U, k, D) nearest to ``queries`` (U, D).

        Where fewer than k are found, the others are at infinite distance, and zero.
        """
        if len(queries) > _BATCH:
            parts = [self.nearest(queries[at : at + _BATCH], k) for at in range(0, len(queries), _BATCH)]
            scores, found = (np.concatenate(part) for part in zip(*parts, strict=True))
            return scores, found
        scores, ids, found = self._index.search_and_reconstruct(queries, min(k, len(self)))
        missing = ids < 0
        if missing.any():
            scores[missing], found[missing] = np.inf, 0.0
        return np.maximum(scores, 0.0), found
