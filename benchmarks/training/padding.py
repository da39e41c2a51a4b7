"""Savings of batches of similar length: the share of frames that is padding, with and without."""

from __future__ import annotations

import numpy as np

from benchmarks.measure import table
from modules.config import TrainConfig
from training.data.sampler import EpochBatches

_FRAME = 512 / 44100  # s
_CLIPS = 2000


def windows(seconds: np.ndarray, longest: int) -> list[int]:
    """Frames of every training window, cut as training/data/dataset.py does."""
    frames = np.maximum(1, seconds / _FRAME).astype(int)
    return [min(n, longest) for n in frames for _ in range(max(1, round(n / longest)))]


def main() -> None:
    """Print a row for each data set, at the default window and at three times its length."""
    rng = np.random.default_rng(0)
    data = {
        "phrases of a song, 1–8 s": rng.gamma(3.0, 1.1, _CLIPS).clip(1, 8),
        "speech, 1–10 s (as LJSpeech)": (10.1 * rng.beta(3.5, 1.8, _CLIPS)).clip(1.1, 10.1),
        "slices of 5–15 s": rng.uniform(5, 15, _CLIPS),
    }
    config = TrainConfig()
    rows = []
    for name, seconds in data.items():
        for longest in (config.max_speclen, 3 * config.max_speclen):
            lengths = windows(seconds, longest)
            plain = EpochBatches(lengths, config.batch_size, config.seed, bucket=False).padding()
            ours = EpochBatches(lengths, config.batch_size, config.seed).padding()
            saved = 1 - (1 - plain) / (1 - ours)
            rows.append([name, longest, f"{plain:.1%}", f"{ours:.1%}", f"{saved:.1%}"])
    table(["clips", "max_speclen", "padding, in random order", "padding, ours", "computation saved"], rows)
