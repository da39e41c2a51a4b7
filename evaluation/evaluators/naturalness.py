"""Naturalness: two networks' estimates of listeners' scores."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evaluation.conversions import NAN, SourceSong
from evaluation.evaluators.base import EvalInputs, ReferencedEvaluator, importing
from modules.checkpoint import find_state_dict, load_weights, read_weights
from modules.dsp.audio import resample

RATE = 16000  # Hz, of both
MIN_SAMPLES = RATE // 10
_WINDOW, _HOP = 122880, RATE  # samples of DistillMOS's window, 7.68 s, and at most of its step
_BATCH = 4  # windows computed together


def dnsmos(audio: np.ndarray, sampling_rate: int) -> tuple[float, float]:
    """OVRL of P.835 and the score of P.808 of ``audio`` (T,), 1 to 5; NaN for less than 0.1 s.

    DNSMOS (Reddy et al., 2021 and 2022) analyses 16 kHz, and was trained on speech
    after noise suppression. It varies by 0.2 between equally good renderings of
    one song.

    Raises:
        Unavailable: speechmos is not installed.
    """
    with importing("speechmos"):
        from speechmos import dnsmos as network
    audio = resample(audio, sampling_rate, RATE)
    if len(audio) < MIN_SAMPLES:
        return NAN, NAN
    score = network.run(np.clip(audio, -1, 1), RATE)
    return float(score["ovrl_mos"]), float(score["p808_mos"])


@lru_cache(maxsize=1)
def load_distillmos() -> Any:
    """DistillMOS's network, loaded once.

    Raises:
        Unavailable: distillmos is not installed.
        CheckpointError: Its file holds something else.
    """
    with importing("distillmos"):
        from distillmos import ConvTransformerSQAModel
    network = ConvTransformerSQAModel(load_weights=False, segmenting_in_forward=False).eval()
    path = Path(str(resources.files("distillmos"))) / "weights" / "distill_mos_v7.pt"
    load_weights(network, find_state_dict(read_weights(path, keep=("model",)), path, "model"), path)
    return network


@torch.inference_mode()
def distillmos(audio: np.ndarray, sampling_rate: int) -> float:
    """Score of ``audio`` (T,), 1 to 5, by DistillMOS; NaN for less than 0.1 s.

    A distilled XLS-R network (Stahl and Gamper, 2025), trained on speech at 16 kHz. The mean over
    windows of 7.68 s, at most 1 s apart, as its authors take it.

    Raises:
        Unavailable: distillmos is not installed.
    """
    network = load_distillmos()
    audio = resample(audio, sampling_rate, RATE)
    if len(audio) < MIN_SAMPLES:
        return NAN
    extra = max(0, len(audio) - _WINDOW)
    starts = np.linspace(0, extra, -(-extra // _HOP) + 1).astype(int)
    padded = torch.from_numpy(np.pad(audio, (0, max(0, _WINDOW - len(audio)))).astype(np.float32))
    windows = [padded[start : start + _WINDOW] for start in starts]
    batches = (torch.stack(windows[first : first + _BATCH]) for first in range(0, len(windows), _BATCH))
    return float(torch.cat([network(batch) for batch in batches]).mean())


class Naturalness(ReferencedEvaluator):
    """DNSMOS of a result, beside that of its source."""

    def __init__(self, inputs: EvalInputs) -> None:
        super().__init__(inputs)
        with importing("speechmos"):
            import speechmos  # noqa: F401

    def measure(self, audio: np.ndarray, song: SourceSong) -> dict[str, float]:
        """Numbers "dnsmos_ovrl" and "dnsmos_p808"."""
        overall, p808 = dnsmos(audio, song.sampling_rate)
        return {"dnsmos_ovrl": overall, "dnsmos_p808": p808}


class DistilledNaturalness(ReferencedEvaluator):
    """DistillMOS of a result, beside that of its source."""

    def __init__(self, inputs: EvalInputs) -> None:
        super().__init__(inputs)
        load_distillmos()

    def measure(self, audio: np.ndarray, song: SourceSong) -> dict[str, float]:
        """Number "distillmos"."""
        return {"distillmos": distillmos(audio, song.sampling_rate)}
