"""Draw shallow diffusion: from the Glow model's mel to a sharper one, and to audio.

    python -m tools.diagram        docs/pictures/shallow-diffusion.png

The input is a phrase of the synthetic singer. Noise, schedule, sampler and vocoder
are those of a conversion; the two networks are replaced, so that nothing need be
trained: the Glow model by a blur of the phrase's mel, the diffusion model by an
oracle that knows the phrase. Pictures of trained models are in docs/diffusion.md.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.common.cli import entry_point, make_parser

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

OUTPUT = Path(__file__).resolve().parents[1] / "docs/pictures/shallow-diffusion.png"
SECONDS, SHOWN = 4.0, slice(60, 180)  # of the phrase; frames in the picture
K_STEP, SPEEDUP = 100, 10  # as -ks and infer.speedup are by default
BLUR = (2.5, 1.5)  # mel bins, frames
BLUE, ORANGE, GREY = "#2f5d8a", "#b5541c", "#666666"


@dataclass(frozen=True)
class DiffusionStages:
    """Stages of a phrase: mels (M, N), natural log, and audio (T,)."""

    glow: np.ndarray
    noised: np.ndarray
    half: np.ndarray
    refined: np.ndarray
    audio: np.ndarray


def run_stages() -> DiffusionStages:
    """Synthesise the phrase, and apply shallow diffusion to it."""
    import numpy as np
    import torch
    from scipy.ndimage import gaussian_filter

    from diffusion.config import DiffusionModelConfig
    from diffusion.gaussian import GaussianDiffusion
    from modules.config import DataConfig
    from modules.dsp.mel import LogMel
    from synthetic_voice import compose, sing
    from vdecoder import VOCODERS

    data = DataConfig()
    performance = sing(compose("sofia", SECONDS, 3), "sofia", seed=3)
    true = LogMel(data)(torch.from_numpy(performance.audio)[None])
    glow = torch.from_numpy(gaussian_filter(true.numpy(), (0, *BLUR)))
    decoder = GaussianDiffusion(DiffusionModelConfig(), data.n_mels)
    noise = torch.randn(true.shape, generator=torch.Generator().manual_seed(0))
    start = decoder.start(decoder.normalize(glow), noise, K_STEP)
    clean, seen = decoder.normalize(true), []

    def predict(x: Tensor, t: float) -> Tensor:
        seen.append(x)
        return (x - decoder.schedule.alpha(t) * clean) / decoder.schedule.sigma(t)

    sampler = decoder.sampler("ddim", SPEEDUP, K_STEP)
    refined = decoder.denormalize(sampler.sample(predict, start, torch.randn_like))
    half = decoder.denormalize(seen[len(seen) // 2])
    n_frames = true.shape[-1]
    f0 = performance.f0_at(np.arange(n_frames) * data.hop_length / data.sampling_rate)
    pitch, uv = (torch.from_numpy(track.astype(np.float32)) for track in (f0, f0 > 0))
    vocoder = VOCODERS.build("world", data, "cpu")
    audio = vocoder.synthesize(refined[0], pitch.where(uv > 0, torch.full_like(pitch, 220.0)), uv)
    return DiffusionStages(
        glow[0, :, SHOWN].numpy(),
        decoder.denormalize(start)[0, :, SHOWN].numpy(),
        half[0, :, SHOWN].numpy(),
        refined[0, :, SHOWN].numpy(),
        audio.numpy()[SHOWN.start * data.hop_length : SHOWN.stop * data.hop_length],
    )


def draw(stages: DiffusionStages) -> bytes:
    """Diagram as a PNG, 1800 pixels wide, to be shown at 900."""
    from matplotlib.figure import Figure

    from evaluation.picture import small_png

    figure = Figure(figsize=(9, 4.3), facecolor="white")
    board = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    board.set(xlim=(0, 9), ylim=(0, 4.3))
    board.axis("off")
    width, gap, left = 1.42, 0.36, 0.23
    lefts = [left + i * (width + gap) for i in range(5)]
    centres = [x + width / 2 for x in lefts]
    mels = (stages.glow, stages.noised, stages.half, stages.refined)
    captions = ("blurred mel", "noised mel", "on the way", "refined mel", "sound")
    for i, (x, caption) in enumerate(zip(lefts, captions, strict=True)):
        panel = figure.add_axes((x / 9, 0.62 / 4.3, width / 9, 1.5 / 4.3))
        if i < len(mels):
            panel.imshow(mels[i], origin="lower", aspect="auto", cmap="magma", vmin=-11, vmax=1)
        else:
            highest = 1.05 * abs(stages.audio).max()
            panel.plot(stages.audio, color=BLUE, linewidth=0.25)
            panel.set(xlim=(0, len(stages.audio) - 1), ylim=(-highest, highest))
        panel.set(xticks=[], yticks=[])
        board.text(centres[i], 0.44, caption, ha="center", va="center", fontsize=10.5)
        if i:
            _arrow(board, (lefts[i] - gap + 0.04, 1.37), (lefts[i] - 0.04, 1.37), GREY)
    top, low = 3.78, 2.72
    _box(board, (lefts[0], lefts[4] + width), top, "input: units (words) · F0 · loudness · voice", GREY)
    _box(board, (lefts[0], lefts[0] + width), low, "Glow model", BLUE)
    _box(board, (lefts[1], lefts[1] + width), low, f"noise of {K_STEP}\nsteps (-ks)", GREY)
    denoiser = f"diffusion model: removes it\nagain, {SPEEDUP} steps at once"
    _box(board, (lefts[2], lefts[3] + width), low, denoiser, ORANGE)
    _box(board, (lefts[4], lefts[4] + width), low, "vocoder", BLUE)
    for x, colour in zip(centres, (BLUE, GREY, ORANGE, ORANGE, BLUE), strict=True):
        _arrow(board, (x, low - 0.29), (x, 2.16), colour)
    middle = (lefts[2] + lefts[3] + width) / 2
    for x, label in ((centres[0], ""), (middle, ""), (centres[4], "F0")):
        _arrow(board, (x, top - 0.27), (x, low + 0.31), GREY)
        board.text(x + 0.1, 3.26, label, va="center", fontsize=9.5, color=GREY)
    note = "Few steps keep to the Glow model, many are the diffusion model's own. Both are replaced here."
    board.text(4.5, 0.15, note, ha="center", va="center", fontsize=9.5, color=GREY)
    return small_png(figure, dpi=200)


def _box(board: Any, ends: tuple[float, float], y: float, text: str, colour: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    style = "round,pad=0,rounding_size=0.08"
    corner, size = (ends[0], y - 0.26), (ends[1] - ends[0], 0.52)
    board.add_patch(FancyBboxPatch(corner, *size, boxstyle=style, facecolor=colour, edgecolor="none"))
    board.text(sum(ends) / 2, y, text, ha="center", va="center", color="white", fontsize=10, linespacing=1.25)


def _arrow(board: Any, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    style = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.6, "shrinkA": 0, "shrinkB": 0}
    board.annotate("", xy=end, xytext=start, arrowprops=style)


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Draw; return the exit code."""
    parser = make_parser(__doc__, prog="python -m tools.diagram")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="picture (in docs/pictures)")
    args = parser.parse_args(argv)
    from modules.common.files import replacing

    picture = draw(run_stages())
    with replacing(args.output) as path:
        path.write_bytes(picture)
    print(f"{args.output}: {len(picture) / 1e3:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
