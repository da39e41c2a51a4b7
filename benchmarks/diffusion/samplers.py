r"""Error of each sampler against its number of evaluations, on a trained diffusion model.

    python -m benchmarks.diffusion.samplers --model logs/44k/diffusion/model_2000.pt \
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
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.measure import table
from diffusion.config import DiffusionDataConfig, load_diffusion_config
from diffusion.gaussian import GaussianDiffusion
from diffusion.samplers import methods
from diffusion.samplers.base import Sampler
from diffusion.samplers.dpm_solver import DpmSolverPlusPlus
from diffusion.samplers.rk4 import RungeKutta4
from diffusion.schedule import FlowSchedule
from diffusion.unit2mel import Unit2Mel, load_unit2mel
from modules.common.cli import make_parser
from modules.common.errors import GlowSVCError
from modules.dataset import features
from modules.dsp.align import align_units
from vencoder import ENCODERS

EVALUATIONS = (2, 4, 8, 10, 20, 100)
REFERENCE = 1000  # evaluations


def read_clip(wav: Path, data: DiffusionDataConfig, seconds: float) -> list[Tensor]:
    """Units (1, D, N), F0 (1, N), volume (1, N) and mel (1, M, N) of the first ``seconds`` of a clip."""
    mel = features.load_mel(wav)
    units = align_units(features.load_units(wav), mel.size(1), data, ENCODERS[data.speech_encoder].clock)
    n_frames = max(1, round(seconds * data.sampling_rate / data.hop_length))
    tracks = units, features.load_f0(wav)[0], features.load_volume(wav), mel
    return [track[None, ..., :n_frames].float() for track in tracks]


def reference(model: Unit2Mel, k_step: int) -> Sampler:
    """Solver of 1000 evaluations, for any ``k_step``."""
    decoder = model.decoder
    if isinstance(decoder, GaussianDiffusion):
        solver = DpmSolverPlusPlus(decoder.schedule.first(k_step), 1)
        solver.grid = tuple(np.linspace(k_step - 1, 0, REFERENCE + 1).tolist())
        solver.times = solver.grid[:-1]
        return solver
    path = FlowSchedule(decoder.config.timesteps, k_step)
    path.n_steps = REFERENCE
    return RungeKutta4(path, 1)


def candidates(model: Unit2Mel, k_step: int) -> Iterator[tuple[str, Sampler]]:
    """Yield every method with several numbers of evaluations, and the ancestral one with its fixed number."""
    decoder = model.decoder
    gaussian = isinstance(decoder, GaussianDiffusion)
    for method in methods(decoder.config.type):
        seen = set()
        for count in EVALUATIONS:
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
def measure(model: Unit2Mel, clip: list[Tensor], speaker: str, k_step: int | None) -> list[list[object]]:
    """A row of the table for each sampler, on a clip from :func:`read_clip` and a speaker's name or id.

    Sampling starts from the clip's mel with ``k_step`` steps of noise; None: from noise.
    """
    decoder, data = model.decoder, model.config.data
    units, f0, volume, recorded = clip
    steps = decoder.steps(k_step, k_step is not None)
    condition = model.embed(units, f0, volume, torch.tensor([model.config.speaker_id(speaker)]))
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(recorded.shape, generator=generator)
    if k_step is not None:
        start = decoder.start(decoder.normalize(recorded), start, steps)

    def draw(x: Tensor) -> Tensor:
        return torch.randn(x.shape, generator=generator)

    want = decoder.run(reference(model, steps), condition, start, draw)
    rows: list[list[object]] = []
    for name, sampler in candidates(model, steps):
        began = time.perf_counter()
        mel = decoder.run(sampler, condition, start, draw)
        spent = time.perf_counter() - began
        factor = spent * data.sampling_rate / (recorded.size(2) * data.hop_length)
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
    args = parser.parse_args()
    if len(args.model) != len(args.config):
        parser.error("each --model needs its --config")
    rows = []
    try:
        for model_path, config_path in zip(args.model, args.config, strict=True):
            config = load_diffusion_config(config_path)
            clip = read_clip(args.features, config.data, args.seconds)
            rows += measure(load_unit2mel(model_path, config), clip, args.speaker, args.k_step)
    except GlowSVCError as error:
        parser.error(str(error))
    table(["model", "sampler", "evaluations", "mel error", "real-time factor"], rows)


if __name__ == "__main__":
    main()
