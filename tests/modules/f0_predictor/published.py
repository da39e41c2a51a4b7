"""RMVPE files in the published layouts, filled by name, and the resampler of the published projects."""

from pathlib import Path

import numpy as np
import torch

from tests.support.golden_cases import load_case

LAYOUTS = ["model", "plain", "plain float16"]


def write_rmvpe(path: Path, layout: str = "model") -> Path:
    """Write the reduced network as it is published: in 'model', or plain, without the unused tensors."""
    state = load_case("f0_rmvpe").state_dict()
    if layout == "model":
        assert any(name.startswith("unet.tf.") for name in state)
        torch.save({"model": state}, path)
    else:
        state = {name: tensor for name, tensor in state.items() if not name.startswith("unet.tf.")}
        if layout == "plain float16":
            state = {name: t.half() if t.is_floating_point() else t for name, t in state.items()}
        torch.save(state, path)
    return path


def to_16k(audio: np.ndarray) -> np.ndarray:
    """Resample ``audio`` (T,) from 44.1 to 16 kHz: a sinc of 128 zero crossings, squared cosine window."""
    cutoff = 0.99 * 16000  # Hz, twice the highest frequency kept
    centres = np.arange(-(-len(audio) * 16000 // 44100)) * 44100 / 16000
    reach = int(128 * 44100 / cutoff) + 2
    padded = np.pad(audio.astype(np.float64), reach)
    out = np.empty(len(centres), np.float32)
    for block in np.array_split(np.arange(len(centres)), max(1, len(centres) // 2000)):
        taps = np.floor(centres[block]).astype(int)[:, None] + np.arange(-reach + 1, reach)
        t = ((taps - centres[block, None]) * cutoff / 44100).clip(-128, 128)
        kernel = np.sinc(t) * np.cos(np.pi * t / 256) ** 2 * cutoff / 44100
        out[block] = (padded[taps + reach] * kernel).sum(1)
    return out
