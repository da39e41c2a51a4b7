"""Range of each speaker's F0, counted while the clips are read: memory does not grow with their number."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from modules.common.text import normalize_name
from modules.dataset.features import load_f0
from modules.dsp.f0 import WHISPERED

_STEPS = 10  # per Hz, in which F0 is counted
_HIGHEST = 20_000  # Hz; whatever is above counts as this
_PERCENTILES = np.array([5, 50, 95])


@dataclass
class F0Survey:
    """F0 of some clips of one speaker."""

    n_frames: int = 0
    counts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))  # voiced frames per step of F0

    def add(self, f0: np.ndarray, uv: np.ndarray) -> None:
        """Count the frames of a clip: ``f0`` (N,), Hz, and ``uv`` (N,), 1 = voiced."""
        steps = np.rint(_STEPS * f0[uv > 0].clip(0, _HIGHEST)).astype(np.int64)
        counts = np.bincount(steps, minlength=len(self.counts))
        counts[: len(self.counts)] += self.counts
        self.counts, self.n_frames = counts, self.n_frames + len(f0)

    @property
    def voiced(self) -> float:
        """Share of voiced frames, 0–1."""
        return float(self.counts.sum()) / max(1, self.n_frames)

    @property
    def range(self) -> list[float] | None:
        """The 5th, 50th and 95th percentile of voiced F0, Hz, to a tenth.

        None if less than a twentieth is voiced: that is whispered, and what is voiced are errors.
        """
        if self.voiced <= WHISPERED:
            return None
        ends = self.counts.cumsum()
        places = _PERCENTILES / 100 * (ends[-1] - 1)
        low, high = (np.searchsorted(ends, whole(places), "right") for whole in (np.floor, np.ceil))
        hz = (low + (high - low) * (places % 1)) / _STEPS
        return [round(float(value), 1) for value in hz]


def survey_f0(wavs: Iterable[str | Path]) -> dict[str, F0Survey]:
    """F0 of the clips of each speaker, whose name is that of a clip's folder, in NFC.

    Raises:
        FeatureError: A clip has no F0, or a broken one.
    """
    found: defaultdict[str, F0Survey] = defaultdict(F0Survey)
    for wav in wavs:
        f0, uv = load_f0(wav)
        found[normalize_name(Path(wav).parent.name)].add(f0.numpy(), uv.numpy())
    return dict(found)
