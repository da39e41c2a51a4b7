"""Small data sets of units, and the files of the published project."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch

from modules.dataset.feature_record import FeatureRecord, identify
from modules.dataset.features import save_feature

DIMS = 12


def draw(n: int, dims: int = DIMS, seed: int = 0) -> np.ndarray:
    """Frames (n, D) around a few centres, as units are."""
    rng = np.random.default_rng(seed)
    centres = 3.0 * np.random.default_rng(99).standard_normal((20, dims))
    return (centres[rng.integers(20, size=n)] + rng.standard_normal((n, dims))).astype(np.float32)


def write_clip(folder: Path, name: str, frames: np.ndarray, encoder: str = "mfcc") -> Path:
    """Write a clip, its units (n, D) and the record of what made them."""
    folder.mkdir(parents=True, exist_ok=True)
    wav = folder / f"{name}.wav"
    wav.touch()
    save_feature(wav, "units", torch.from_numpy(np.ascontiguousarray(frames.T)).unsqueeze(0))
    record = FeatureRecord(audio=identify(wav))
    if encoder:
        record.finish(wav, "units", {"encoder": encoder})
    return wav


def write_speaker(root: Path, name: str, n: int, n_clips: int = 3, seed: int = 0, **options) -> np.ndarray:
    """Write clips of ``n`` frames together; return these (n, D) in the order of the clips."""
    frames = draw(n, options.pop("dims", DIMS), seed)
    for number, part in enumerate(np.array_split(frames, n_clips)):
        write_clip(root / name, f"clip {number:03}", part, **options)
    return frames


def common_share(found: np.ndarray, wanted: np.ndarray) -> float:
    """Share of the vectors (Q, K, D) wanted by each query that it found."""
    pairs = zip(found, wanted, strict=True)
    return float(np.mean([len({*map(bytes, a)} & {*map(bytes, b)}) / len(b) for a, b in pairs]))


def ivf(vectors: np.ndarray, n_lists: int) -> Any:
    index = faiss.index_factory(vectors.shape[1], f"IVF{n_lists},Flat")
    index.train(vectors)
    index.add(vectors)
    return index


def flat(vectors: np.ndarray) -> faiss.Index:
    index = faiss.IndexFlatL2(vectors.shape[1])
    index.add(vectors)
    return index


def write_published_index(path: Path, indexes: dict[int, faiss.Index], protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(indexes, protocol))
    return path


def write_published_kmeans(path: Path, centres: dict[str, np.ndarray]) -> Path:
    content = {
        name: {"n_features_in_": values.shape[1], "_n_threads": 4, "cluster_centers_": values}
        for name, values in centres.items()
    }
    torch.save(content, path)
    return path
