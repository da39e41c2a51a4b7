"""k-means on units: scikit-learn on the processor, torch on a GPU."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from modules.common.progress import progress_bar

N_CENTRES = 10_000
MOST_FRAMES = 200_000  # that centres are made of: 600 MB of 768 channels, 20 for each of 10 000 centres
_FULL = 20_000  # frames; up to here every step looks at all of them
_ROUND = 5  # steps between two looks at the progress
_ROUNDS = 3
_STILL = 1e-3  # share of the error; a round that gains less is the last
_BATCH = 8192  # frames
_PASSES = 3  # over the frames, in batches; unseen frames gain nothing from more
_GPU_STEPS = 30


def fit_centres(frames: np.ndarray, n_centres: int, device: Any = None, seed: int = 0) -> np.ndarray:
    """Return centres (K, D), float32, of frames (n, D); K is ``n_centres``, or n where there are fewer.

    Args:
        frames: float32.
        n_centres: Wanted.
        device: A torch.device to work on; None is scikit-learn.
        seed: Of the first centres and the order of batches.
    """
    frames = np.ascontiguousarray(frames, np.float32)
    if len(frames) <= n_centres:
        return frames.copy()
    rng = np.random.default_rng(seed)
    first = frames[np.sort(rng.choice(len(frames), n_centres, replace=False))]
    if device is not None:
        return _on_device(frames, first, device, seed)
    return _full(frames, first) if len(frames) <= _FULL else _in_batches(frames, first, rng)


def _full(frames: np.ndarray, centres: np.ndarray) -> np.ndarray:
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    error = np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a round is short on purpose
        for _ in progress_bar(range(_ROUNDS), desc=f"k-means, {len(centres)} centres", unit="round"):
            model = KMeans(len(centres), init=centres, n_init=1, max_iter=_ROUND).fit(frames)
            centres = model.cluster_centers_
            if model.n_iter_ < _ROUND or error - model.inertia_ < _STILL * model.inertia_:
                break
            error = model.inertia_
    return np.asarray(centres, np.float32)


def _in_batches(frames: np.ndarray, centres: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    from sklearn.cluster import MiniBatchKMeans

    size = min(len(frames), max(_BATCH, len(centres)))  # scikit-learn wants no less than centres
    model = MiniBatchKMeans(len(centres), init=centres, n_init=1, batch_size=size, random_state=0)
    n_batches = len(frames) // size  # what is left over is another part each time
    with progress_bar(
        total=_PASSES * n_batches, desc=f"k-means, {len(centres)} centres", unit="batch", leave=False
    ) as bar:
        for _ in range(_PASSES):
            order = rng.permutation(len(frames))
            for begin in range(0, n_batches * size, size):
                model.partial_fit(frames[order[begin : begin + size]])
                bar.update()
    return np.asarray(model.cluster_centers_, np.float32)


def _on_device(frames: np.ndarray, first: np.ndarray, device: Any, seed: int) -> np.ndarray:
    """Return centres after steps of torch; a centre that nothing is near to moves onto a frame."""
    import torch

    values, centres = torch.from_numpy(frames).to(device), torch.from_numpy(first).to(device)
    generator = torch.Generator().manual_seed(seed)
    error = float("inf")
    for _ in progress_bar(range(_GPU_STEPS), desc=f"k-means, {len(centres)} centres", unit="step"):
        sums = torch.zeros_like(centres)
        counts = torch.zeros(len(centres), device=device)
        total = 0.0
        squares = centres.square().sum(1)
        for batch in values.split(_BATCH):
            distances, labels = torch.addmm(squares, batch, centres.T, alpha=-2.0).min(1)
            sums.index_add_(0, labels, batch)
            counts.index_add_(0, labels, torch.ones_like(distances))
            total += float(distances.sum() + batch.square().sum())
        centres = sums / counts.clamp(min=1.0).unsqueeze(1)
        empty = (counts == 0).nonzero().flatten()
        if len(empty):
            drawn = torch.randperm(len(values), generator=generator)[: len(empty)]
            centres[empty] = values[drawn.to(device)]
        elif error - total < _STILL / _ROUND * total:
            break
        error = total
    return centres.cpu().numpy()
