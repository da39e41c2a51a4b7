"""RMVPE's network (Wei et al. 2023, "E2E0"): a U-Net over the log-mel, then a bidirectional GRU.

Names of modules and classes are those of the published project, and every size
follows from the tensors, so one loader reads both layouts of the published file.
No package has this network with its weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.checkpoint import find_state_dict, load_weights, read_weights
from modules.checkpoint.identify import identify
from modules.common.errors import CheckpointError

_UNUSED = "unet.tf."  # a timbre filter of an earlier design, in some files, never used


@dataclass(frozen=True)
class RmvpeSizes:
    """The sizes of a network; the defaults are the published ones."""

    n_stages: int = 5  # of the encoder, each halving time and bands, and of the decoder
    n_blocks: int = 4  # residual blocks per stage
    n_inter: int = 4  # stages between encoder and decoder
    channels: int = 16  # of the first stage; doubled in each further stage
    n_mels: int = 128  # bands of the log-mel
    hidden: int = 256  # GRU units per direction
    n_bins: int = 360  # pitch bins of the salience

    @classmethod
    def of(cls, state: dict[str, Tensor], source: str | Path) -> RmvpeSizes:
        """Derive the sizes from a checkpoint's tensors; raises CheckpointError if they are not RMVPE's."""

        def count(prefix: str) -> int:
            return len({name[len(prefix) :].split(".")[0] for name in state if name.startswith(prefix)})

        try:
            sizes = cls(
                n_stages=count("unet.encoder.layers."),
                n_blocks=count("unet.encoder.layers.0.conv."),
                n_inter=count("unet.intermediate.layers."),
                channels=len(state["unet.encoder.layers.0.conv.0.conv.0.weight"]),
                n_mels=state["fc.0.gru.weight_ih_l0"].shape[1] // len(state["cnn.weight"]),
                hidden=state["fc.0.gru.weight_hh_l0"].shape[1],
                n_bins=len(state["fc.1.weight"]),
            )
        except (KeyError, IndexError, TypeError, ZeroDivisionError):
            raise _not_rmvpe(source, state) from None
        # at least one band at the bottleneck, which limits the stages of a malicious file
        if not 1 <= sizes.n_mels >> sizes.n_stages or sizes.n_mels % 2**sizes.n_stages:
            raise _not_rmvpe(source, state)
        return sizes


def _not_rmvpe(source: str | Path, state: dict[str, Tensor]) -> CheckpointError:
    kind = identify(state)
    seems = "it is damaged" if kind is None or "RMVPE" in kind else f"it seems to be {kind}"
    return CheckpointError(
        f"{source} is not an RMVPE checkpoint: {seems}. Get it with: python -m pretrain rmvpe"
    )


class ConvBlockRes(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(n_out, n_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(inplace=True),
        )
        self.shortcut = nn.Conv2d(n_in, n_out, 1) if n_in != n_out else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, n_in, T, M) to (B, n_out, T, M)."""
        return self.conv(x).add_(x if self.shortcut is None else self.shortcut(x))


def _blocks(n_in: int, n_out: int, n_blocks: int) -> nn.Sequential:
    return nn.Sequential(*(ConvBlockRes(n_in if i == 0 else n_out, n_out) for i in range(n_blocks)))


class ResEncoderBlock(nn.Module):
    """Residual blocks: a stage of the encoder, or of the bottleneck."""

    def __init__(self, n_in: int, n_out: int, n_blocks: int) -> None:
        super().__init__()
        self.conv = _blocks(n_in, n_out, n_blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, n_in, T, M) to (B, n_out, T, M)."""
        return self.conv(x)


class ResDecoderBlock(nn.Module):
    """A stage of the decoder: doubles time and bands, and adds the encoder's output of this scale."""

    def __init__(self, n_in: int, n_out: int, n_blocks: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            nn.ConvTranspose2d(n_in, n_out, 3, stride=2, padding=1, output_padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(inplace=True),
        )
        self.conv2 = _blocks(2 * n_out, n_out, n_blocks)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Map ``x`` (B, n_in, T, M) and ``skip`` (B, n_out, 2T, 2M) to (B, n_out, 2T, 2M)."""
        return self.conv2(torch.cat((self.conv1(x), skip), 1))


class DeepUnet(nn.Module):
    """Encoder, bottleneck ("intermediate") and decoder."""

    encoder: Any
    intermediate: Any
    decoder: Any

    def __init__(self, sizes: RmvpeSizes) -> None:
        super().__init__()
        widths = [1, *(sizes.channels << i for i in range(sizes.n_stages + 1))]
        *stages, bottleneck = [
            (n_in, n_out, sizes.n_blocks) for n_in, n_out in zip(widths, widths[1:], strict=False)
        ]
        inner = [bottleneck] + [(widths[-1], widths[-1], sizes.n_blocks)] * (sizes.n_inter - 1)
        self.encoder = nn.ModuleDict({"bn": nn.BatchNorm2d(1), "layers": _stages(ResEncoderBlock, stages)})
        self.intermediate = nn.ModuleDict({"layers": _stages(ResEncoderBlock, inner[: sizes.n_inter])})
        up = [(n_out, n_in, n_blocks) for n_in, n_out, n_blocks in [bottleneck, *reversed(stages[1:])]]
        self.decoder = nn.ModuleDict({"layers": _stages(ResDecoderBlock, up)})

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 1, T, M) to (B, C, T, M)."""
        skips = []
        x = self.encoder["bn"](x)
        for layer in self.encoder["layers"]:
            x = layer(x)
            skips.append(x)
            x = F.avg_pool2d(x, 2)
        for layer in self.intermediate["layers"]:
            x = layer(x)
        for layer in self.decoder["layers"]:
            x = layer(x, skips.pop())  # frees them: they need most of the memory
        return x


def _stages(kind: type[nn.Module], sizes: Sequence[tuple[int, int, int]]) -> nn.ModuleList:
    return nn.ModuleList(kind(*size) for size in sizes)


class BiGRU(nn.Module):
    """A bidirectional GRU."""

    def __init__(self, n_in: int, hidden: int) -> None:
        super().__init__()
        self.gru = nn.GRU(n_in, hidden, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, n_in) to (B, T, 2 * hidden)."""
        return self.gru(x)[0]

    def stream(self, chunks: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield (T, 2 * hidden) for each of ``chunks`` (T, n_in) of one recording.

        Memory is that of one chunk. All chunks but the first are read twice:
        backwards, for the state of the backward direction at the end of each
        chunk, then forwards.
        """
        initial = chunks[0].new_zeros(self.gru.hidden_size)
        futures = [initial]
        for chunk in reversed(chunks[1:]):
            futures.append(self.gru(chunk, torch.stack((initial, futures[-1])))[1][1])
        past = initial
        for chunk, future in zip(chunks, reversed(futures), strict=True):
            out, last = self.gru(chunk, torch.stack((past, future)))
            past = last[0]
            yield out


class E2E0(nn.Module):
    """From log-mel to the salience of every pitch bin."""

    def __init__(self, sizes: RmvpeSizes = RmvpeSizes()) -> None:  # noqa: B008 - immutable
        super().__init__()
        self.sizes = sizes
        self.unet = DeepUnet(sizes)
        self.cnn = nn.Conv2d(sizes.channels, 3, 3, padding=1)
        self.fc = nn.Sequential(
            BiGRU(3 * sizes.n_mels, sizes.hidden), nn.Linear(2 * sizes.hidden, sizes.n_bins), nn.Sigmoid()
        )

    @property
    def multiple(self) -> int:
        """The number of frames must be a multiple of this."""
        return 2**self.sizes.n_stages

    def forward(self, mel: Tensor) -> Tensor:
        """Salience (B, T, n_bins), 0 to 1, of ``mel`` (B, n_mels, T); T is a multiple of :attr:`multiple`."""
        return self.fc(self.features(mel))

    def features(self, mel: Tensor) -> Tensor:
        """Features (B, T, 3 * n_mels) of the U-Net for ``mel`` (B, n_mels, T)."""
        image = mel.transpose(1, 2).unsqueeze(1).contiguous(memory_format=torch.channels_last)
        return self.cnn(self.unet(image)).transpose(1, 2).flatten(2)

    def salience(self, chunks: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the salience (T, n_bins) of consecutive chunks (T, 3 * n_mels) of a recording's features."""
        for read in cast(BiGRU, self.fc[0]).stream(chunks):
            yield self.fc[1:](read)


def load_rmvpe(path: str | Path) -> E2E0:
    """Load the network of a published file: ``{'model': tensors}`` or tensors alone, of any precision.

    Raises:
        CheckpointError: The file is unreadable, or is not RMVPE's.
    """
    state = find_state_dict(read_weights(path, keep=("model",)), path, "model")
    state = {name: tensor for name, tensor in state.items() if not name.startswith(_UNUSED)}
    with torch.device("meta"):  # no random initialization
        network = E2E0(RmvpeSizes.of(state, path))
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    if shapes == {name: tensor.shape for name, tensor in state.items()}:
        network.to_empty(device="cpu")  # otherwise load_weights raises before memory is allocated
    load_weights(network, state, path)
    network.to(memory_format=torch.channels_last)  # a quarter faster on CPUs
    return network.eval().requires_grad_(False)
