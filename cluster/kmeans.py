"""k-means on units, by one loop for processors and GPUs.

Compared with libraries, on 20 000 to 60 000 frames: scikit-learn's KMeans takes
3 times as long for the same error, and its MiniBatchKMeans has a larger error
after the same time. faiss.Kmeans takes a quarter less time, but says nothing of
its progress, moves centres off the frames where many are alike, and uses a GPU
only with a package in place of the one that is installed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from modules.common.progress import progress_bar

N_CENTRES = 10_000
MOST_FRAMES = 200_000  # that centres are made of: 600 MB of 768 channels, 20 for each of 10 000 centres
_BATCH = 2048  # frames; with 10 000 centres their distances take 80 MB
_STEPS = 10  # at most; unseen frames gain 0.1 % from the last 5
_LEAST_GAIN = 5e-3  # share of the error; a step that gains less is the last


def fit_centres(frames: np.ndarray, n_centres: int, device: Any = None, seed: int = 0) -> np.ndarray:
    """Centres (K, D), float32, of frames (n, D); K is ``n_centres``, or n where there are fewer.

    A centre that is nearest to no frame moves onto one, drawn by ``seed`` as those
    at the beginning. ``device`` is a torch.device; None is the processor.
    """
    frames = np.ascontiguousarray(frames, np.float32)
    if len(frames) <= n_centres:
        return frames.copy()
    import torch

    rng = np.random.default_rng(seed)
    values = torch.from_numpy(frames).to(device)
    centres = values[np.sort(rng.choice(len(frames), n_centres, replace=False))]
    error = float("inf")
    for _ in progress_bar(range(_STEPS), desc=f"k-means, {n_centres} centres", unit="step"):
        sums, counts = torch.zeros_like(centres), torch.zeros_like(centres[:, 0])
        squares, total = centres.square().sum(1), 0.0
        for batch in values.split(_BATCH):
            distances, labels = torch.addmm(squares, batch, centres.T, alpha=-2.0).min(1)
            sums.index_add_(0, labels, batch)
            counts.index_add_(0, labels, torch.ones_like(distances))
            total += float(distances.sum() + batch.square().sum())
        centres = sums / counts.clamp(min=1.0).unsqueeze(1)
        empty = (counts == 0).nonzero().flatten()
        if len(empty):
            centres[empty] = values[rng.choice(len(frames), len(empty), replace=False)]
        elif error - total < _LEAST_GAIN * total:
            break
        error = total
    return centres.cpu().numpy()
