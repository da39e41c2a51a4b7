"""Picture of a conversion: mel and F0, the source above the result."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch

from modules.config import DataConfig
from modules.dsp.mel import LogMel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_SECONDS = 30


def draw_comparison(
    panels: dict[str, tuple[np.ndarray, np.ndarray]], sampling_rate: int, hop_length: int = 512
) -> bytes:
    """PNG of each panel's log-mel with its F0 over it, one below the other.

    Args:
        panels: By title: audio (T,) and F0 (N,) in Hz, 0 where unvoiced; longer
            songs show their first 30 s.
        sampling_rate: Hz.
        hop_length: Samples per F0 frame.
    """
    from matplotlib.figure import Figure

    mel = LogMel(DataConfig(sampling_rate=sampling_rate, hop_length=hop_length))
    figure = Figure(figsize=(12, 3.4 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for axis, (title, (audio, f0)) in zip(axes, panels.items(), strict=True):
        samples = torch.from_numpy(audio[: MAX_SECONDS * sampling_rate].astype(np.float32))
        image = mel(samples.unsqueeze(0))[0].numpy()
        seconds = image.shape[1] * hop_length / sampling_rate
        axis.imshow(
            image, origin="lower", aspect="auto", cmap="magma", vmin=-10, vmax=1, extent=(0, seconds, 0, 1)
        )
        axis.set(yticks=[], ylabel="mel, 40 Hz – 16 kHz", title=title)
        overlay = axis.twinx()
        track = f0[: image.shape[1]]
        times = np.arange(len(track)) * hop_length / sampling_rate
        overlay.plot(times, np.where(track > 0, track, np.nan), color="cyan", linewidth=1.5)
        overlay.set_yscale("log", base=2)
        overlay.yaxis.set_major_formatter("{x:.0f}")
        overlay.set(ylabel="F0, Hz", ylim=(60, 1200))
    axes[-1].set_xlabel("seconds")
    return small_png(figure, dpi=100)


def small_png(figure: Figure, dpi: int) -> bytes:
    """PNG of 128 colours: they show as much, in half the space."""
    from PIL import Image

    content, smaller = io.BytesIO(), io.BytesIO()
    with warnings.catch_warnings():  # of letters that matplotlib's own font lacks, and draws as boxes
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure.savefig(content, format="png", dpi=dpi)
    with Image.open(content) as image:
        image.convert("RGB").quantize(128).save(smaller, "PNG", optimize=True)
    return smaller.getvalue()
