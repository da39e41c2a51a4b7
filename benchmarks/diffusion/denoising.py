"""Ten evaluations of the denoiser, in either number format, against the published computation.

Both take the same steps of dpm-solver++ from the same mel, in turns, so that other load slows
both. The weights are random, so the distance between the results is a guide.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.diffusion.published import published_denoiser
from benchmarks.machine import Peak, count_operations
from benchmarks.measure import alternate, table
from benchmarks.workspace import TEMPLATES
from diffusion.config import load_diffusion_config
from diffusion.unit2mel import Unit2Mel

SECONDS = 10.0  # of song
STEPS, SPEEDUP = 100, 10  # the defaults of shallow diffusion: ten evaluations
REPEATS = 3
FORMATS = ("float32", "bfloat16")


def main() -> None:
    """Print a row for each template and number format."""
    rows = []
    for label, name in (
        ("tiny", "diffusion_tiny_template.yaml"),
        ("published size", "diffusion_template.yaml"),
    ):
        rows += measure(label, name)
    table(["model", "computation", "real-time factor", "floor", "over published", "mel L1"], rows)


@torch.inference_mode()
def measure(label: str, template: str) -> list[list[object]]:
    """Rows of a template's model; the floor is what its operations take at the machine's peak."""
    config = load_diffusion_config(TEMPLATES / template)
    data = config.data
    torch.manual_seed(0)
    model = Unit2Mel(config).eval()
    torch.nn.init.normal_(model.decoder.network.output_projection.weight, std=0.02)
    n_frames = round(SECONDS * data.sampling_rate / data.hop_length)
    start = torch.randn(1, data.n_mels, n_frames)
    units = torch.randn(1, data.ssl_dim, n_frames)
    condition = model.embed(
        units, torch.full((1, n_frames), 220.0), torch.full((1, n_frames), 0.1), torch.zeros(1).long()
    )
    published = published_denoiser(model.decoder, data.n_mels)
    sampler = model.decoder.sampler("dpm-solver++", SPEEDUP, STEPS)

    def run_published() -> Tensor:
        def predict(x: Tensor, t: float) -> Tensor:
            return published(x, torch.full((len(x),), t), condition)

        return model.decoder.denormalize(sampler.sample(predict, start, torch.randn_like))

    def ours(dtype: str) -> Callable[[], Tensor]:
        decoder = copy.deepcopy(model.decoder)
        decoder.network.in_precision(getattr(torch, dtype))
        return lambda: decoder.run(sampler, condition, start, torch.randn_like)

    works = {"published, float32": run_published, **{name: ours(name) for name in FORMATS}}
    peaks = {name: Peak(getattr(torch, name)) for name in FORMATS}
    turns = alternate({**works, **peaks["float32"].works, **peaks["bfloat16"].works}, REPEATS)
    times = {name: min(turns[name]) for name in works}
    want = run_published()
    rows: list[list[object]] = []
    for name, spent in times.items():
        length = n_frames * data.hop_length / data.sampling_rate
        floor = count_operations(works[name]) / peaks[name.split()[-1]].flops(turns) / length
        distance = "" if name not in FORMATS else f"{(works[name]() - want).abs().mean():.4f}"
        ratio = f"{times['published, float32'] / spent:.2f}×"
        rows.append([label, name, f"{spent / length:.4f}", f"{floor:.4f}", ratio, distance])
    return rows


if __name__ == "__main__":
    main()
