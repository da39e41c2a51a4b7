r"""Error of each sampler against its number of evaluations, on a trained diffusion model.

    python -m benchmarks.samplers --model logs/44k/diffusion/model_2000.pt \
        --config logs/44k/diffusion/config.yaml --features dataset/44k/singer/clip.wav

The features beside the clip (preprocess_hubert_f0.py writes them) are sampled
with every method in about 2, 4, 8 … evaluations. The error is the mean
absolute difference, natural log, to the same model's mel from the same noise, with
its differential equation solved in 1000 evaluations; a stochastic sampler solves no
equation, so its error includes randomness. --model and --config may be repeated, say for a
diffusion model and a rectified flow: they share a table. --k_step starts from
the clip's own mel, as shallow diffusion does from that of the Glow model.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.measure import table
from diffusion.config import DiffusionConfig, load_diffusion_config
from diffusion.gaussian import GaussianDiffusion
from diffusion.samplers import methods
from diffusion.samplers.base import Sampler
from diffusion.samplers.dpm_solver import DpmSolverPlusPlus
from diffusion.samplers.rk4 import RungeKutta4
from diffusion.schedule import StraightPath
from diffusion.unit2mel import Unit2Mel, load_unit2mel
from modules.common.cli import make_parser
from modules.common.errors import GlowSVCError
from modules.dataset import features
from modules.dsp.align import align_units

EVALUATIONS = (2, 4, 8, 10, 20, 100)
REFERENCE = 1000  # evaluations


@dataclass(frozen=True)
class FeatureClip:
    """Inputs of a model, see :meth:`Unit2Mel.infer`, with B = 1, and the recorded mel."""

    units: Tensor
    f0: Tensor
    volume: Tensor
    speaker: Tensor
    mel: Tensor
    seconds: float


def read_clip(wav: Path, config: DiffusionConfig, speaker: str, seconds: float) -> FeatureClip:
    """Features of the first ``seconds`` of a clip; ``speaker`` is a name or an id."""
    hop, rate = config.data.hop_length, config.data.sampling_rate
    mel = features.load_mel(wav)
    units = align_units(features.load_units(wav), mel.size(1), config.data.unit_interpolate_mode)
    tracks = units, features.load_f0(wav)[0], features.load_volume(wav), mel
    cut = min(mel.size(1), max(1, round(seconds * rate / hop)))
    units, f0, volume, mel = (track[..., :cut].unsqueeze(0).float() for track in tracks)
    number = torch.tensor([config.speaker_id(speaker)])
    return FeatureClip(units, f0, volume, number, mel, cut * hop / rate)


def reference(model: Unit2Mel, k_step: int) -> Sampler:
    """Solver of 1000 evaluations, for any ``k_step``."""
    decoder = model.decoder
    if isinstance(decoder, GaussianDiffusion):
        solver = DpmSolverPlusPlus(decoder.schedule.first(k_step), 1)
        solver.grid = tuple(np.linspace(k_step - 1, 0, REFERENCE + 1).tolist())
        solver.times = solver.grid[:-1]
        return solver
    path = StraightPath(decoder.config.timesteps, k_step)
    path.n_steps = REFERENCE
    return RungeKutta4(path, 1)


def candidates(model: Unit2Mel, k_step: int, evaluations: Sequence[int]) -> Iterator[tuple[str, Sampler]]:
    """Yield every method with about ``evaluations`` each, and the ancestral one with its fixed number."""
    decoder = model.decoder
    gaussian = isinstance(decoder, GaussianDiffusion)
    for method in methods(decoder.config.type):
        seen = set()
        for count in evaluations:
            speedup = k_step // count
            if speedup < (2 if gaussian else 1):
                continue
            sampler = decoder.sampler(method, speedup, k_step)
            if len(sampler.times) not in seen:
                seen.add(len(sampler.times))
                yield method, sampler
    if gaussian:
        yield "ancestral", decoder.sampler("", 1, k_step)


@torch.inference_mode()
def measure(
    model: Unit2Mel, clip: FeatureClip, k_step: int | None, evaluations: Sequence[int]
) -> list[list[object]]:
    """A row of the table for each sampler.

    Args:
        model: Trained model.
        clip: Its inputs.
        k_step: Steps of noise on the clip's mel to start from; None: start from noise.
        evaluations: Numbers of evaluations.
    """
    decoder = model.decoder
    steps = decoder.steps(k_step, k_step is not None)
    condition = model.embed(clip.units, clip.f0, clip.volume, clip.speaker)
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(clip.mel.shape, generator=generator)
    if k_step is not None:
        start = decoder.start(decoder.normalize(clip.mel), start, steps)

    def draw(x: Tensor) -> Tensor:
        return torch.randn(x.shape, generator=generator)

    want = decoder.run(reference(model, steps), condition, start, draw)
    rows: list[list[object]] = []
    for name, sampler in candidates(model, steps, evaluations):
        began = time.perf_counter()
        mel = decoder.run(sampler, condition, start, draw)
        factor = (time.perf_counter() - began) / clip.seconds
        error = (mel - want).abs().mean().item()
        rows.append([decoder.config.type, name, len(sampler.times), f"{error:.3f}", f"{factor:.3f}"])
    return rows


def main() -> None:
    """Print the table."""
    parser = make_parser(__doc__)
    parser.add_argument("--model", type=Path, action="append", required=True, help="trained by train_diff.py")
    parser.add_argument("--config", type=Path, action="append", required=True, help="one for each model")
    parser.add_argument("--features", type=Path, required=True, help="a clip that has been preprocessed")
    parser.add_argument("--speaker", default="0", help="name or id; default: %(default)s")
    parser.add_argument("--seconds", type=float, default=10.0, help="of the clip; default: %(default)s")
    parser.add_argument("--k_step", type=int, help="shallow, from the clip's mel; default: from noise")
    parser.add_argument("--evaluations", type=int, nargs="+", default=EVALUATIONS)
    args = parser.parse_args()
    if len(args.model) != len(args.config):
        parser.error("each --model needs its --config")
    if min(args.evaluations) < 1:
        parser.error("--evaluations must be above 0")
    rows = []
    try:
        for model_path, config_path in zip(args.model, args.config, strict=True):
            config = load_diffusion_config(config_path)
            clip = read_clip(args.features, config, args.speaker, args.seconds)
            rows += measure(load_unit2mel(model_path, config), clip, args.k_step, args.evaluations)
    except GlowSVCError as error:
        parser.error(str(error))
    table(["model", "sampler", "evaluations", "mel error", "real-time factor"], rows)


if __name__ == "__main__":
    main()
