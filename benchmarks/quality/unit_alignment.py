r"""Effect of ``data.unit_interpolate_mode``: how far units are from the mel, and what that costs.

    python -m benchmarks.quality.unit_alignment WORK --recordings <folder of one voice>

The first table is arithmetic: distances from the middle of each frame of slices of 29 to 30 s to
the middle of the unit that it takes. For the second, tiny models are trained with each mode,
from the same seeds on the same clips, and predict the mels of clips that are held out (mean
absolute difference, natural log, and mel-cepstral distortion, dB). The units are those of
the starter encoder; for the clock of HuBERT without padding, whose weights this project cannot
ship, the same units, interpolated linearly to its times, as many as it gives. Finished
trainings are kept in WORK: run it again to continue, or to print the table again.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.measure import table
from benchmarks.workspace import prepare
from modules.common.cli import make_parser
from modules.common.files import write_json
from modules.config import Config, DataConfig, load_config
from modules.dataset.features import feature_path, load_perturbed_units, load_units, save_feature
from modules.dsp.align import align_units
from modules.dsp.audio import open_audio
from modules.dsp.unit_clock import UnitClock
from modules.pretrained.starter import STARTER_ENCODER
from training.base_model import STARTER
from training.distributed import DistributedContext
from training.loop import Trainer
from training.tasks.glow import GlowTask
from vencoder import ENCODERS

ENCODER, SIMULATED = STARTER_ENCODER, f"{STARTER_ENCODER} at HuBERT's times"
SLICES = np.linspace(29.0, 30.0, 101)  # s; how far lengths are from whole units and frames differs
HELD_OUT = 4  # one clip of so many
SCORES = ("mel_l1", "mcd")
MODES = ("nearest", "time")


def n_units(n_samples: int, clock: UnitClock) -> int:
    """Number of units that an encoder with this clock, and 20 ms per unit, gives for 16 kHz audio."""
    lost = {200: 80, 160: -160}  # of HuBERT's windows of 400 samples; rounded
    return (n_samples - lost.get(clock.centre, 0)) // clock.hop_length


def distances(seconds: float, clock: UnitClock, mode: str) -> np.ndarray:
    """Time of each frame's unit minus its own (N,), ms; negative where the unit is earlier."""
    data = DataConfig(unit_interpolate_mode=mode)
    n_frames = int(seconds * data.sampling_rate) // data.hop_length
    units = np.arange(n_units(int(seconds * clock.sampling_rate), clock))
    middles = (clock.hop_length * units + clock.centre) / clock.sampling_rate
    frames = (np.arange(n_frames) + 0.5) * data.hop_length / data.sampling_rate
    return 1000 * (align_units(middles, n_frames, data, clock) - frames)


def print_distances() -> None:
    """Print the first table."""
    clocks: dict[UnitClock, list[str]] = {}
    for name, spec in ENCODERS.items():
        clocks.setdefault(spec.clock, []).append(name)
    rows = []
    for clock, names in clocks.items():
        for mode in MODES:
            found = np.concatenate([distances(seconds, clock, mode) for seconds in SLICES])
            values = found.mean(), found.min(), found.max()
            rows.append([", ".join(names), clock.centre, mode, *(f"{value:+.1f}" for value in values)])
    table(["encoders", "c", "mode", "mean, ms", "earliest", "latest"], rows)


def at_times_of(units: Tensor, found: UnitClock, wanted: UnitClock, count: int) -> Tensor:
    """``count`` units (..., D, U) at the times of another clock, of units at those of ``found``."""
    place = torch.arange(count) + (wanted.centre - found.centre) / found.hop_length
    before = place.floor().long()
    share = place - before
    last = units.shape[-1] - 1
    return units[..., before.clamp(0, last)] * (1 - share) + units[..., (before + 1).clamp(0, last)] * share


def simulate(prepared: Path, folder: Path) -> None:
    """Copy a prepared folder, with units at the times of HuBERT without padding."""
    clock, wanted = ENCODERS[ENCODER].clock, ENCODERS["vec768l12"].clock
    partial = folder.with_name("partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(prepared, partial)
    for wav in sorted((partial / "dataset").rglob("*.wav")):
        with open_audio(wav) as file:
            count = n_units(file.frames * wanted.sampling_rate // file.samplerate, wanted)
        units = at_times_of(load_units(wav), clock, wanted, count)
        save_feature(wav, "units", units[None])
        if feature_path(wav, "perturbed_units").exists():
            save_feature(wav, "perturbed_units", at_times_of(load_perturbed_units(wav), clock, wanted, count))
    partial.replace(folder)


def train(
    folder: Path, encoder: str, mode: str, seed: int, steps: int, base: Path | None
) -> dict[str, float]:
    """Train a model in ``folder``, without its own configuration's clips; scores of the held-out ones."""
    config: Config = load_config(folder / "configs/config.json")
    config = replace(
        config,
        data=replace(config.data, unit_interpolate_mode=mode),
        model=replace(config.model, speech_encoder=encoder),
        train=replace(config.train, seed=seed, max_steps=steps, eval_interval=steps),
    )
    clips = sorted((folder / "dataset").rglob("*.wav"))
    held_out = clips[::HELD_OUT]
    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    device = torch.device("cpu")
    with DistributedContext(device) as context:
        task = GlowTask(config, [clip for clip in clips if clip not in held_out], held_out, device)
        Trainer(task, config.train, run, context, base=base).run()
    with (run / "metrics.csv").open(encoding="utf-8") as file:
        last = list(csv.DictReader(file))[-1]
    return {name: float(last[name]) for name in SCORES}


def print_trainings(args: argparse.Namespace) -> None:
    """Train what is not finished yet; print the second table."""
    work: Path = args.work
    ENCODERS.specs[SIMULATED] = replace(ENCODERS[ENCODER], clock=ENCODERS["vec768l12"].clock)
    own, simulated = work / "own", work / "simulated"
    if not (own / ".complete").exists():
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir(parents=True)
        prepare(own, recordings=args.recordings, encoder=ENCODER)
        (own / ".complete").touch()
    if not simulated.exists():
        simulate(own, simulated)
    starts = {
        f"{ENCODER}, from scratch": (own, ENCODER, args.steps, None),
        f"{SIMULATED}, from scratch": (simulated, SIMULATED, args.steps, None),
        f"{ENCODER}, from the base model": (own, ENCODER, args.base_steps, STARTER),
    }
    rows = []
    for seed in tqdm(range(args.seeds), desc="seeds"):
        for name, (folder, encoder, steps, base) in starts.items():
            for mode in MODES:
                path = work / "scores" / f"{name}, {mode}, {steps} steps, seed {seed}.json"
                if not path.exists():
                    path.parent.mkdir(exist_ok=True)
                    write_json(path, train(folder, encoder, mode, seed, steps, base))
    for name, (*_, steps, _base) in starts.items():
        found = {
            mode: np.array(
                [
                    [json.loads(path.read_text(encoding="utf-8"))[score] for score in SCORES]
                    for seed in range(args.seeds)
                    for path in [work / "scores" / f"{name}, {mode}, {steps} steps, seed {seed}.json"]
                ]
            )
            for mode in MODES
        }
        for mode in MODES:
            rows.append([f"{name}, {steps} steps", mode, *_cells(found[mode], "")])
        rows.append(["", "difference", *_cells(found[MODES[1]] - found[MODES[0]], "+")])
    table(["units", "mode", "mel L1, each seed", "mean", "MCD, dB, each seed", "mean"], rows)


def _cells(scores: np.ndarray, sign: str) -> list[str]:
    """The seeds' values and their mean, of each score."""
    cells = []
    for values, digits in zip(scores.T, (4, 3), strict=True):
        cells += [
            " ".join(f"{value:{sign}.{digits}f}" for value in values),
            f"{values.mean():{sign}.{digits}f}",
        ]
    return cells


def main() -> None:
    """Print both tables."""
    parser = make_parser(__doc__)
    parser.add_argument("work", type=Path, help="folder for all results")
    parser.add_argument(
        "--recordings", type=Path, help="folder of one voice; without it, the first table alone"
    )
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each kind (%(default)s)")
    parser.add_argument("--steps", type=int, default=400, help="of training from scratch (%(default)s)")
    parser.add_argument("--base_steps", type=int, default=200, help="from the base model (%(default)s)")
    args = parser.parse_args()
    print_distances()
    if args.recordings:
        print_trainings(args)


if __name__ == "__main__":
    main()
