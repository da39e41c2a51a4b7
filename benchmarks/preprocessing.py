"""What each part of steps 1 and 3 costs, per second of recording, on one core."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from benchmarks.measure import seconds, table
from modules.dataset.perturb import perturb_voice
from modules.dsp.audio import resample
from modules.dsp.mel import LogMel
from modules.f0_predictor import F0_PREDICTORS
from synthetic_voice import SINGERS, compose, sing
from vencoder import ENCODERS

SECONDS = 10.0
RATE = 44100


def main() -> None:
    """Print the real-time factor of each part; the mel is the baseline."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    singer = next(iter(SINGERS.values()))
    audio = sing(compose(singer, SECONDS, 1), singer, seed=1).audio
    length = len(audio) / RATE
    low = resample(audio, RATE, 16000)
    wave, mel = torch.from_numpy(audio).unsqueeze(0), LogMel()
    work: dict[str, Callable[[], object]] = {
        "log-mel": lambda: mel(wave),
        "resampling 48 → 44.1 kHz": lambda: resample(audio, 48000, RATE),
        "synthetic singer": lambda: sing(compose(singer, SECONDS, 1), singer, seed=1),
    }
    for name, spec in ENCODERS.items():
        if spec.weights is None:
            encoder = ENCODERS.build(name, torch.device("cpu"))
            work[f"units {name}"] = partial(encoder.encode, torch.from_numpy(low))
    work["3 perturbed copies"] = lambda: perturb_voice(low, 16000, 3, np.random.default_rng(0))
    for name, predictor in F0_PREDICTORS.items():
        if predictor.weights is None:
            work[f"F0 {name}"] = partial(F0_PREDICTORS.build(name).predict, audio)
    rows = []
    baseline = None
    for name, job in work.items():
        factor = seconds(job, 1 if name == "F0 crepe" else 3) / length
        baseline = baseline or factor
        rows.append([name, f"{factor:.4f}", f"{factor / baseline:.0f}×"])
    table(["part", "real-time factor", "over the log-mel"], rows)
    torch.set_num_threads(threads)
