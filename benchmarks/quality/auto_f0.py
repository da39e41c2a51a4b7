"""Error of automatic F0 prediction on validation clips, beside that of the voice's mean pitch.

`python -m benchmarks.quality.auto_f0 <folder of recordings of one voice> [minutes]`
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import table, temporary_folder
from benchmarks.workspace import prepare, run
from models import GlowSVC
from modules.checkpoint import load_model
from modules.config import load_config
from modules.dataset.features import load_f0
from training.data.dataset import GlowDataset
from training.data.filelist import read_filelist


def main(recordings: Path, minutes: float) -> None:
    """Train for some minutes and print a row for each validation clip and for all of them."""
    with temporary_folder() as folder:
        path = prepare(folder, recordings=recordings, model={"use_automatic_f0_prediction": True})
        print(run(folder, "train.py", "--max_minutes", str(minutes)).splitlines()[-1])
        config = load_config(path)
        network = GlowSVC(config.model)
        load_model(network, folder / "logs/44k/G_best.pth")
        network.eval()
        training, held_out = (
            [folder / clip for clip in read_filelist(folder / name)]
            for name in (config.data.training_files, config.data.validation_files)
        )
        tracks = [load_f0(clip) for clip in training]
        mean = float(torch.cat([f0[uv > 0].log2() for f0, uv in tracks]).mean())
        data = GlowDataset(held_out, config, augment=False)
        rows, errors = [], []
        for number, clip in enumerate(held_out):
            batch = data[0, number]
            inputs = batch.units, batch.f0, batch.uv, batch.speaker_id, batch.volume
            _, predicted = network.infer(*inputs, predict_f0=True)
            voiced = batch.uv[0] > 0
            true = batch.f0[0][voiced].log2()
            guesses = torch.stack([predicted[0][voiced].log2(), torch.full_like(true, mean)])
            errors.append(1200 * (guesses - true).abs().numpy())
            rows.append([clip.stem, *_cells(errors[-1])])
        rows.append(["all", *_cells(np.concatenate(errors, 1))])
        header = ["clip", "predicted: mean error", "median", "mean pitch: mean error", "median"]
        table(header, rows)


def _cells(errors: np.ndarray) -> list[str]:
    return [f"{value:.0f} cents" for part in errors for value in (part.mean(), np.median(part))]


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 4.0)
