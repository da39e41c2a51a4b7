"""Cost of each part of steps 1 and 3, per second of recording, on one core."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from benchmarks.measure import seconds, table
from benchmarks.workspace import synthetic_song
from modules.dataset.perturb import perturb_voice
from modules.dsp.audio import resample
from modules.dsp.mel import LogMel
from modules.f0_predictor import F0_PREDICTORS
from vencoder import ENCODERS

SECONDS = 10.0
RATE = 44100


def main() -> None:
    """Print the real-time factor of each part; the mel is the baseline."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    audio = synthetic_song(SECONDS, 1)
    low = resample(audio, RATE, 16000)
    wave, mel = torch.from_numpy(audio).unsqueeze(0), LogMel()
    works: dict[str, Callable[[], object]] = {
        "log-mel": lambda: mel(wave),
        "resampling 48 → 44.1 kHz": lambda: resample(audio, 48000, RATE),
        "synthetic singer": lambda: synthetic_song(SECONDS, 1),
    }
    for name, spec in ENCODERS.items():
        if spec.weights is None:
            encoder = ENCODERS.build(name, torch.device("cpu"))
            works[f"units {name}"] = partial(encoder.encode, torch.from_numpy(low))
    works["3 perturbed copies"] = lambda: perturb_voice(low, 16000, 3, np.random.default_rng(0))
    for name, predictor in F0_PREDICTORS.items():
        if predictor.weights is None:
            works[f"F0 {name}"] = partial(F0_PREDICTORS.build(name).predict, audio)
    factors = {
        name: seconds(work, 1 if name == "F0 crepe" else 3) * RATE / len(audio)
        for name, work in works.items()
    }
    rows = [[name, f"{x:.4f}", f"{x / factors['log-mel']:.0f}×"] for name, x in factors.items()]
    table(["part", "real-time factor", "over the log-mel"], rows)
    torch.set_num_threads(threads)
