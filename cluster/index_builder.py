"""Building a retrieval index, even of more units than fit in memory.

A speaker's units are read from the disk in batches, several times: to draw the
sample that the lists are made from; to find each vector's list; to write it in
its place. Meanwhile the exact neighbours of some held-out units are looked for.
A search finds a neighbour if its list is among those it looks into, so the rank
of that list tells how many lists must be searched for any recall, exactly, and
without an index in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cluster.blend import N_NEIGHBOURS
from cluster.index_file import IndexWriter
from cluster.kmeans import MOST_FRAMES, N_CENTRES, fit_centres
from cluster.lists import Lists
from cluster.search import load_faiss
from cluster.unit_reader import ArrayFrames, Frames, sample
from modules.common.files import replacing
from modules.common.progress import progress_bar, stage

MOST_VECTORS = 200_000  # of a speaker; beyond, centres stand for the frames
RECALL = 0.95
_LEAST_PER_LIST = 39  # vectors; with fewer in all there are no lists
_SAMPLE_PER_LIST = 10  # vectors that a list's centroid is made from: more cost time, and find no more
_N_QUERIES = 1000
_HELD_OUT = 500  # frames, 10 s, in one piece: the frames around a query would make it easy


@dataclass(frozen=True)
class BuiltIndex:
    """Index of one speaker."""

    n_frames: int
    n_vectors: int  # kept: frames, or centres of them
    n_lists: int  # 0 if all vectors are compared
    nprobe: int  # lists searched for each unit
    recall: float  # share of the exact 8 nearest that are found; 1 without lists


def list_count(n: int) -> int:
    """Published number of lists for ``n`` vectors; 0 for none."""
    return min(int(16 * n**0.5), n // _LEAST_PER_LIST)


def build_index(
    path: Path,
    speakers: Mapping[str, Frames],
    ids: Mapping[str, int],
    encoder: str,
    *,
    max_frames: int = MOST_VECTORS,
    recall: float = RECALL,
    device: Any = None,
) -> dict[str, BuiltIndex]:
    """Write the index of some speakers, atomically; return each speaker's by name. Raises OSError.

    ``speakers`` (units, at least one frame each) and ``ids`` are by name. Speakers
    of more than ``max_frames`` are reduced to 10 000 centres on ``device``, a
    torch.device or None for the CPU; 0: none is. ``recall`` is the wanted share of
    the exact nearest 8.
    """
    kept = dict(speakers)
    for name, frames in speakers.items():
        if 0 < max_frames < frames.n_frames:
            kept[name] = ArrayFrames(fit_centres(sample(frames, MOST_FRAMES), N_CENTRES, device))
    layout: dict[str, tuple[str, tuple[int, ...]]] = {}
    for name, frames in kept.items():
        n, dims = frames.n_frames, frames.pick(np.array([0])).shape[1]
        layout[f"{ids[name]}.vectors"] = "F32", (n, dims)
        if n_lists := list_count(n):
            layout[f"{ids[name]}.centroids"] = "F32", (n_lists, dims)
            layout[f"{ids[name]}.sizes"] = "I64", (n_lists,)
            layout[f"{ids[name]}.nprobe"] = "I64", (1,)
    built = {}
    with replacing(path) as temporary, temporary.open("wb") as file:
        writer = IndexWriter(file, layout, encoder, {name: ids[name] for name in kept})
        for name, frames in kept.items():
            n = frames.n_frames
            if list_count(n):
                nprobe, found = _write_lists(writer, str(ids[name]), frames, speakers[name], recall)
            else:
                for begin, batch in frames.batches():
                    writer.put(f"{ids[name]}.vectors", batch, begin)
                nprobe, found = 0, 1.0
            built[name] = BuiltIndex(speakers[name].n_frames, n, list_count(n), nprobe, found)
    return built


def _write_lists(
    writer: IndexWriter, speaker: str, frames: Frames, whole: Frames, recall: float
) -> tuple[int, float]:
    """Write a speaker's vectors in lists; return how many lists to search, and the recall of that."""
    n = frames.n_frames
    drawn = sample(frames, _SAMPLE_PER_LIST * list_count(n))
    with stage(f"making {list_count(n)} lists"):
        lists = Lists.fit(drawn, list_count(n))
    centroids = lists.centroids
    if frames is whole:
        held, queries = _hold_out(frames)
    else:  # centres; the queries are frames
        held, queries = np.zeros(n, bool), sample(whole, _N_QUERIES, seed=1)
    labels, neighbours = _assign(frames, lists, queries, held)
    sizes = np.bincount(labels, minlength=len(centroids))
    nprobe, found = _tune_nprobe(queries, centroids, labels[neighbours], recall)
    writer.put(f"{speaker}.centroids", centroids)
    writer.put(f"{speaker}.sizes", sizes)
    writer.put(f"{speaker}.nprobe", np.array([nprobe]))

    places = np.cumsum(sizes) - sizes  # where the next vector of each list goes
    for begin, batch in _batches(frames, "writing"):
        own = labels[begin : begin + len(batch)]
        order = np.argsort(own, kind="stable")
        numbers, begins = np.unique(own[order], return_index=True)
        for number, rows in zip(numbers, np.split(order, begins[1:]), strict=True):
            writer.put(f"{speaker}.vectors", batch[rows], int(places[number]))
            places[number] += len(rows)
    return nprobe, found


def _hold_out(frames: Frames) -> tuple[np.ndarray, np.ndarray]:
    """Mask (n,) of the frames held out from the search of neighbours, and some of these frames (q, D)."""
    n = frames.n_frames
    rng = np.random.default_rng(1)
    length = max(1, min(_HELD_OUT, n // 20))
    pieces = np.arange(n) // length
    n_pieces = int(pieces[-1]) + 1
    held = np.isin(pieces, rng.choice(n_pieces, max(1, min(20, n_pieces // 10)), replace=False))
    numbers = np.flatnonzero(held)
    drawn = rng.choice(numbers, min(_N_QUERIES, len(numbers)), replace=False)
    return held, frames.pick(np.sort(drawn))


def _assign(
    frames: Frames, lists: Lists, queries: np.ndarray, held: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """List of each vector (n,), and indices (q, k) of the exact neighbours of the queries."""
    faiss = load_faiss()
    labels = np.empty(frames.n_frames, np.int64)
    distances = np.full((len(queries), 0), np.inf, np.float32)
    neighbours = np.zeros((len(queries), 0), np.int64)
    for begin, batch in _batches(frames, "sorting"):
        labels[begin : begin + len(batch)] = lists.assign(batch)
        numbers = np.flatnonzero(~held[begin : begin + len(batch)])
        if not len(numbers):
            continue
        found = faiss.knn(queries, batch[numbers], min(N_NEIGHBOURS, len(numbers)))
        distances = np.hstack([distances, found[0]])
        neighbours = np.hstack([neighbours, begin + numbers[found[1]]])
        nearest = np.argsort(distances, 1, kind="stable")[:, :N_NEIGHBOURS]
        distances = np.take_along_axis(distances, nearest, 1)
        neighbours = np.take_along_axis(neighbours, nearest, 1)
    return labels, neighbours


def _tune_nprobe(
    queries: np.ndarray, centroids: np.ndarray, wanted: np.ndarray, recall: float
) -> tuple[int, float]:
    """Fewest lists to search for a recall, and the recall that they give.

    ``wanted`` are the lists (q, k) in which the exact neighbours of queries (q, D) lie.
    """
    distances = (centroids**2).sum(1) - 2.0 * (queries @ centroids.T)
    own = np.take_along_axis(distances, wanted, 1)
    nearer: Sequence[np.ndarray] = [(distances < column[:, None]).sum(1) for column in own.T]
    ranks = np.sort(np.concatenate(nearer))
    nprobe = int(ranks[max(0, int(np.ceil(recall * len(ranks))) - 1)]) + 1
    return nprobe, float((ranks < nprobe).mean())


def _batches(frames: Frames, what: str) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the batches of some frames, with a progress bar."""
    with progress_bar(total=frames.n_frames, desc=what, unit="frame") as bar:
        for begin, batch in frames.batches():
            yield begin, batch
            bar.update(len(batch))
