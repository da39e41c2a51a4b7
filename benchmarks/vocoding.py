"""Speed and precision of the neural vocoder, against its plain float32 form in the same run.

The plain form is that of the published project: one-dimensional convolutions
after folding the weight norm, the whole song at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.machine import Peak, count_operations
from benchmarks.measure import alternate, table
from modules.pretrained.weights import find_weights
from vdecoder.clock import SONG_START
from vdecoder.draws import initial_phase, source_noise
from vdecoder.generator import SLOPE, Generator, GeneratorConfig
from vdecoder.layers import Conv, Inject, OutputConv, Upsample, fold_all
from vdecoder.nsf_hifigan import side_config
from vdecoder.source import SineSource

SECONDS = 6.0
REPEATS = 5
PUBLISHED = GeneratorConfig(
    num_mels=128,
    upsample_rates=(8, 8, 2, 2, 2),
    upsample_kernel_sizes=(16, 16, 4, 4, 4),
    upsample_initial_channel=512,
    resblock="1",
    resblock_kernel_sizes=(3, 7, 11),
    resblock_dilation_sizes=((1, 3, 5),) * 3,
)


def load_random(network: nn.Module) -> None:
    """Fill a network with noise scaled so that its output neither vanishes nor saturates."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in network.state_dict().items():
        noise = torch.randn(tensor.shape, generator=generator)
        if name.endswith("weight_g"):
            inside = ".convs" in name  # of a residual block: six in a row must not explode
            tensor.copy_((0.3 if inside else 1.0) * (1 + 0.1 * noise.abs()))
        elif name.endswith("bias"):
            tensor.copy_(0.01 * noise)
        else:
            tensor.copy_(noise / math.sqrt(max(1, tensor[0].numel())))


class Plain:
    """The published computation, with the unfused layers of torch, on a network before folding."""

    def __init__(self, network: Generator) -> None:
        self.network = network
        self.weights = {
            name: module.weight_v * (module.weight_g / module.weight_v.norm(dim=(1, 2), keepdim=True))
            for name, module in network.named_modules()
            if isinstance(module, Conv | OutputConv | Upsample)
        }

    def _conv(self, name: str, x: Tensor) -> Tensor:
        conv = self.network.get_submodule(name)
        assert isinstance(conv, Conv | OutputConv)
        return F.conv1d(x, self.weights[name], conv.bias, padding=conv.reach, dilation=conv.dilation)

    def __call__(self, mel: Tensor, excitation: Tensor) -> Tensor:
        """Audio (B, T)."""
        config = self.network.config
        x = self._conv("conv_pre", mel)
        n_blocks = len(config.resblock_kernel_sizes)
        for stage, rate in enumerate(config.upsample_rates):
            up, inject = self.network.ups[stage], self.network.noise_convs[stage]
            assert isinstance(up, Upsample) and isinstance(inject, Inject)
            x = F.conv_transpose1d(
                F.leaky_relu(x, SLOPE), self.weights[f"ups.{stage}"], up.bias, rate, up.padding
            )
            x = x + F.conv1d(
                excitation.unsqueeze(1), inject.weight, inject.bias, inject.stride, inject.padding
            )
            total = torch.zeros(())
            for block in range(stage * n_blocks, (stage + 1) * n_blocks):
                y = x
                for pair in range(3):
                    z = self._conv(f"resblocks.{block}.convs1.{pair}", F.leaky_relu(y, SLOPE))
                    y = y + self._conv(f"resblocks.{block}.convs2.{pair}", F.leaky_relu(z, SLOPE))
                total = total + y
            x = total / n_blocks
        return self._conv("conv_post", F.leaky_relu(x)).tanh()[:, 0]


def log_spectral_distance(one: Tensor, other: Tensor) -> float:
    """Distance (dB) of two sounds (T,): over frames, the mean of the RMS deviation over bins."""
    window = torch.hann_window(2048)
    spectra = torch.stft(torch.stack([one, other]), 2048, 512, window=window, return_complex=True)
    first, second = 20 * spectra.abs().clamp(min=1e-5).log10()
    return float((first - second).square().mean(0).sqrt().mean())


def network(dtype: torch.dtype, plain: bool = False) -> Generator:
    """The published vocoder if it is installed, else one of its size with random weights."""
    path = find_weights("nsf-hifigan")
    config = GeneratorConfig.read(side_config(path), path) if path else PUBLISHED
    made = Generator(config).eval()
    if path:
        from modules.checkpoint import find_state_dict, load_weights, read_weights

        load_weights(made, find_state_dict(read_weights(path, keep=("generator",)), path, "generator"), path)
    else:
        load_random(made)
    if not plain:
        fold_all(made)
        made.in_precision(dtype)
    return made


@torch.inference_mode()
def main() -> None:
    """Print real-time factors, the machine's floor, the ratio to the plain form, and the error of each."""
    ours, half = network(torch.float32), network(torch.bfloat16)
    plain = Plain(network(torch.float32, plain=True))
    hop, rate = ours.config.hop_length, 44100
    n_frames = round(SECONDS * rate / hop)
    length = n_frames * hop / rate
    rng = torch.Generator().manual_seed(1)
    mel = torch.randn(1, ours.config.num_mels, n_frames, generator=rng) - 5
    f0 = torch.from_numpy(220 * 2 ** (0.5 * np.sin(np.linspace(0, 20, n_frames)))).float().unsqueeze(0)
    source: SineSource = ours.m_source

    def draw() -> Tensor:
        phase, noise = initial_phase(SONG_START), source_noise(SONG_START, n_frames, hop)
        return source(f0, hop, rate, torch.from_numpy(phase), torch.from_numpy(noise)[None])

    excitation = draw()
    sounds: dict[str, Callable[[], Tensor]] = {
        "plain float32": lambda: plain(mel, excitation),
        "float32": lambda: ours(mel, excitation),
        "bfloat16": lambda: half(mel, excitation),
        "sine source": draw,
    }
    formats = {name: Peak(getattr(torch, name)) for name in ("float32", "bfloat16")}
    turns = alternate({**sounds, **formats["float32"].works, **formats["bfloat16"].works}, REPEATS)
    peaks = {name: peak.flops(turns) for name, peak in formats.items()}
    times = {name: min(turns[name]) for name in sounds}
    sound = sounds["plain float32"]()[0]
    needed = count_operations(sounds["plain float32"]) / length
    rows = []
    for name, seconds in times.items():
        cells = ["", "", f"{times['plain float32'] / seconds:.2f}×", ""]
        if name != "sine source":
            floor = needed / peaks[name.split()[-1]]
            cells[:2] = [f"{floor:.3f}", f"{100 * floor * length / seconds:.0f} %"]
        if name in ("float32", "bfloat16"):
            cells[3] = f"{log_spectral_distance(sounds[name]()[0], sound):.4f} dB"
        rows.append([name, f"{seconds / length:.3f}", *cells])
    table(
        ["NSF-HiFiGAN", "real-time factor", "floor", "floor reached", "over plain", "log-spectral distance"],
        rows,
    )
    installed = find_weights("nsf-hifigan")
    weights = "published weights" if installed else "random weights: the distance is a guide"
    print(
        f"\nFloor: {needed / 1e9:.0f} GFLOP per second of song at the peak of the format, "
        + " and ".join(f"{peak / 1e9:.0f} GFLOP/s in {name}" for name, peak in peaks.items())
        + f". Level {float(sound.square().mean().sqrt()):.3f}; {weights}."
    )
