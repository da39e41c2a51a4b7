"""TensorBoard: curves, mels, F0 and audio."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter


class TensorBoardLogger:
    """A TensorBoard log.

    Args:
        folder: Where the event files go.
        first: Step from which on earlier logs in ``folder`` are hidden: it will be repeated.
    """

    def __init__(self, folder: str | Path, first: int = 1) -> None:
        self._writer = SummaryWriter(str(folder), purge_step=first, flush_secs=30)

    def scalars(self, values: dict[str, float], step: int) -> None:
        """Write one point of each curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def audio(self, name: str, audio: Tensor, sampling_rate: int, step: int) -> None:
        """Write a sound (T,)."""
        self._writer.add_audio(name, audio.clamp(-1, 1).unsqueeze(0), step, sampling_rate)

    def mels(self, name: str, mels: dict[str, Tensor], step: int) -> None:
        """Write log-mels (M, N) one above the other, on one scale."""
        figure, axes = _subplots(len(mels))
        for axis, (title, mel) in zip(axes, mels.items(), strict=True):
            axis.imshow(mel.numpy(), origin="lower", aspect="auto", vmin=-11.5, vmax=2.0, cmap="magma")
            axis.set_title(title, fontsize=8)
        self._writer.add_figure(name, figure, step)

    def f0(self, name: str, tracks: dict[str, Tensor], step: int) -> None:
        """Write F0 tracks (N,) in Hz; zeros are left out."""
        figure, axes = _subplots(1)
        for title, f0 in tracks.items():
            axes[0].plot(np.where(f0.numpy() > 0, f0.numpy(), np.nan), label=title, linewidth=1)
        axes[0].set_ylabel("Hz")
        axes[0].legend(fontsize=8)
        self._writer.add_figure(name, figure, step)

    def close(self) -> None:
        """Flush and close the log."""
        self._writer.close()


def _subplots(rows: int):  # noqa: ANN202 - matplotlib is imported on first use
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.6 * rows), layout="constrained")
    axes = figure.subplots(rows, squeeze=False)[:, 0]
    return figure, axes
