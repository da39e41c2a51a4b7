"""Draw how a song and a training clip travel through the tree, for docs/architecture.md.

    python -m tools.architecture        docs/pictures/architecture.png

Boxes are data, arrows are named after the file or folder that they pass through.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.common.cli import entry_point, make_parser

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = ROOT / "docs/pictures/architecture.png"
WIDTH, ROW, BOX = 12.0, 1.0, 0.36  # inches: the picture, a row of it, the height of a box
SONG_COLOUR, CLIP_COLOUR, GREY = "#2f5d8a", "#b5541c", "#555555"


@dataclass(frozen=True)
class DataBox:
    """Data at one place of a lane."""

    text: str  # what it is, with its shape
    column: float = 0.5  # place across the lane, 0 to 1
    sources: tuple[int, ...] = (0,)  # indices of the boxes in the row above that it comes from
    files: tuple[str, ...] = ()  # what the arrows pass through, in this order


SONG = (
    (DataBox("raw/song.wav", sources=()),),
    (DataBox("audio (T,), mono, 44.1 kHz", files=("inference/source.py",)),),
    (DataBox("slices", files=("modules/dsp/slicer.py", "inference/pipeline.py")),),
    (
        DataBox("units (D, U)", 0.18, files=("inference/encoder_context.py", "vencoder/")),
        DataBox("F0, uv (N,)", 0.52, files=("modules/f0_predictor/",)),
        DataBox("volume (N,)", 0.86, files=("modules/dsp/frame_rms.py",)),
    ),
    (
        DataBox("units (D, N)", 0.18, (0,), ("cluster/blend.py", "modules/dsp/align.py")),
        DataBox("F0 in the new key", 0.52, (1,), ("modules/dsp/f0.py",)),
        DataBox("volume (N,)", 0.86, (2,)),
    ),
    (DataBox("mel (M, N)", 0.5, (0, 1, 2), ("models.py",)),),
    (DataBox("refined mel, with -shd", files=("inference/refiner.py", "diffusion/unit2mel.py")),),
    (DataBox("audio of the slice", files=("vdecoder/",)),),
    (
        DataBox(
            "level and silences of the song",
            files=("inference/timbre/envelope.py", "inference/silence_gate.py"),
        ),
    ),
    (
        DataBox(
            "results/song_0key_anna_glow_swift-f0.flac", files=("inference/stitch.py", "inference/output.py")
        ),
    ),
)
CLIP = (
    (DataBox("dataset_raw/anna/*", sources=()),),
    (DataBox("dataset/44k/anna/*.wav", files=("resample.py", "modules/dsp/slicer.py")),),
    (
        DataBox(
            "filelists/*.txt, configs/config.json", files=("preprocess_flist_config.py", "configs_template/")
        ),
    ),
    (
        DataBox("*.soft.pt: units", 0.17, files=("training/data/extraction.py", "vencoder/")),
        DataBox("*.f0.npy: F0, uv", 0.52, files=("modules/f0_predictor/",)),
        DataBox("*.mel.pt: mel", 0.86, files=("modules/dsp/mel.py",)),
    ),
    (DataBox("windows: units, F0, mel", 0.5, (0, 1, 2), ("modules/dataset/features.py",)),),
    (DataBox("batches (B, …, N)", files=("training/data/dataset.py", "training/data/sampler.py")),),
    (DataBox("likelihood of the mel", files=("training/tasks/glow.py", "models.py")),),
    (DataBox("weights after a step", files=("training/loop.py",)),),
    (
        DataBox("G_<step>.pth", 0.17, (0,), ("training/state.py", "modules/checkpoint/")),
        DataBox("validation: metrics.csv, sounds", 0.7, (0,), ("training/tasks/preview.py",)),
    ),
    (DataBox("G_best.pth: input of a conversion", 0.5, (0, 1), ("training/early_stopping.py",)),),
)


def draw_lane(axis: Axes, lane: Sequence[Sequence[DataBox]], left: float, colour: str, title: str) -> None:
    """Draw a lane from its first row, at the top, to its last."""
    width = WIDTH / 2 - 0.4
    axis.text(left + width / 2, 0.75, title, ha="center", fontsize=13, weight="bold", color=colour)
    for number, row in enumerate(lane):
        y = -number * ROW
        for box in row:
            x = left + box.column * width
            style: dict[str, Any] = {"boxstyle": "round,pad=0.35", "facecolor": colour, "edgecolor": "none"}
            axis.text(x, y, box.text, ha="center", va="center", color="white", fontsize=9.5, bbox=style)
            for source in box.sources:
                start = left + lane[number - 1][source].column * width
                arrow = {"arrowstyle": "-|>", "color": GREY, "linewidth": 1.2}
                axis.annotate("", (x, y + BOX / 2), (start, y + ROW - BOX / 2), arrowprops=arrow)
            style = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
            font: dict[str, Any] = {"family": "monospace", "fontsize": 7.5, "color": GREY}
            axis.text(x, y + 0.46, "\n".join(box.files), ha="center", va="center", bbox=style, **font)


def draw(path: Path) -> None:
    """Write a PNG with both lanes."""
    from matplotlib.figure import Figure

    from modules.common.files import replacing

    height = ROW * max(len(SONG), len(CLIP)) + 0.7
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    axis = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axis.set(xlim=(0, WIDTH), ylim=(1.1 - height, 1.1))
    axis.axis("off")
    draw_lane(axis, SONG, 0.2, SONG_COLOUR, "a song: inference_main.py")
    draw_lane(axis, CLIP, WIDTH / 2 + 0.2, CLIP_COLOUR, "a training clip: steps 1 to 4")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Write the drawing."""
    parser = make_parser(__doc__, prog="python -m tools.architecture")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="file to write (docs/pictures/)")
    draw(parser.parse_args(argv).output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
