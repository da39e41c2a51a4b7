"""RMVPE's network (Wei et al. 2023, "E2E0"): a U-Net over the log-mel, then a bidirectional GRU.

Module names are the published checkpoint's, and every size follows from its
tensors, so one loader reads the published file in both of its layouts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.checkpoint import load_weights, read_weights, state_of
from modules.checkpoint.identify import identify
from modules.common.errors import CheckpointError

_UNUSED = "unet.tf."  # a timbre filter of an earlier design, in some files, in no forward pass


@dataclass(frozen=True)
class Sizes:
    """The sizes of a network; the defaults are the published ones.

    Attributes:
        n_stages: Stages of the encoder, each halving time and bands; so many of the decoder.
        n_blocks: Residual blocks per stage.
        n_inter: Stages between encoder and decoder.
        channels: Of the first stage; each further one doubles them.
        n_mels: Bands of the log-mel.
        hidden: GRU units per direction.
        n_bins: Pitch bins of the salience.
    """

    n_stages: int = 5
    n_blocks: int = 4
    n_inter: int = 4
    channels: int = 16
    n_mels: int = 128
    hidden: int = 256
    n_bins: int = 360

    @classmethod
    def of(cls, state: dict[str, Tensor], source: str | Path) -> Sizes:
        """Read the sizes off a checkpoint's tensors.

        Raises:
            CheckpointError: The tensors are not RMVPE's.
        """

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
        # a band must be left where the U-Net is narrowest: so a made-up file cannot ask for endless stages
        if not 1 <= sizes.n_mels >> sizes.n_stages or sizes.n_mels % 2**sizes.n_stages:
            raise _not_rmvpe(source, state)
        return sizes


def _not_rmvpe(source: str | Path, state: dict[str, Tensor]) -> CheckpointError:
    kind = identify(state)
    seems = "it is damaged" if kind is None or "RMVPE" in kind else f"it seems to be {kind}"
    return CheckpointError(f"{source} is no RMVPE checkpoint: {seems}. Get it with: python -m pretrain rmvpe")


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

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
        """Return (B, n_out, T, M) for ``x`` (B, n_in, T, M)."""
        return self.conv(x).add_(x if self.shortcut is None else self.shortcut(x))


def _blocks(n_in: int, n_out: int, n_blocks: int) -> list[Block]:
    return [Block(n_in if i == 0 else n_out, n_out) for i in range(n_blocks)]


class Stage(nn.Module):
    """Residual blocks in a row: a stage of the encoder, or one between encoder and decoder."""

    def __init__(self, n_in: int, n_out: int, n_blocks: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(*_blocks(n_in, n_out, n_blocks))

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, n_out, T, M) for ``x`` (B, n_in, T, M)."""
        return self.conv(x)


class UpStage(nn.Module):
    """A stage of the decoder: time and bands double, and the encoder's view of this scale joins in."""

    def __init__(self, n_in: int, n_out: int, n_blocks: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            nn.ConvTranspose2d(n_in, n_out, 3, stride=2, padding=1, output_padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(inplace=True),
        )
        self.conv2 = nn.Sequential(*_blocks(2 * n_out, n_out, n_blocks))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Return (B, n_out, 2T, 2M) for ``x`` (B, n_in, T, M) and ``skip`` (B, n_out, 2T, 2M)."""
        return self.conv2(torch.cat((self.conv1(x), skip), 1))


class Encoder(nn.Module):
    """Normalises the log-mel and halves it, stage by stage."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(1)
        widths = [1] + [sizes.channels << i for i in range(sizes.n_stages)]
        self.layers = nn.ModuleList(
            Stage(n_in, n_out, sizes.n_blocks) for n_in, n_out in zip(widths, widths[1:], strict=False)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the narrowest view of ``x`` (B, 1, T, M), and each stage's before its pooling."""
        skips = []
        x = self.bn(x)
        for layer in self.layers:
            x = layer(x)
            skips.append(x)
            x = F.avg_pool2d(x, 2)
        return x, skips


class Intermediate(nn.Module):
    """The stages at the narrowest scale."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        n_out = sizes.channels << sizes.n_stages
        self.layers = nn.ModuleList(
            Stage(n_out // 2 if i == 0 else n_out, n_out, sizes.n_blocks) for i in range(sizes.n_inter)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 2C, T, M) for ``x`` (B, C, T, M)."""
        for layer in self.layers:
            x = layer(x)
        return x


class Decoder(nn.Module):
    """Brings the narrowest view back to every frame and band."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        widths = [sizes.channels << i for i in range(sizes.n_stages, -1, -1)]
        self.layers = nn.ModuleList(
            UpStage(n_in, n_out, sizes.n_blocks) for n_in, n_out in zip(widths, widths[1:], strict=False)
        )

    def forward(self, x: Tensor, skips: list[Tensor]) -> Tensor:
        """Return (B, C, T, M); empties ``skips`` on the way, since they are what fills memory."""
        for layer in self.layers:
            x = layer(x, skips.pop())
        return x


class UNet(nn.Module):
    """Encoder, intermediate stages and decoder."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.encoder = Encoder(sizes)
        self.intermediate = Intermediate(sizes)
        self.decoder = Decoder(sizes)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, T, M) for ``x`` (B, 1, T, M)."""
        x, skips = self.encoder(x)
        return self.decoder(self.intermediate(x), skips)


class BiGRU(nn.Module):
    """A GRU that reads the recording from both ends."""

    def __init__(self, n_in: int, hidden: int) -> None:
        super().__init__()
        self.gru = nn.GRU(n_in, hidden, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, T, 2 * hidden) for ``x`` (B, T, n_in)."""
        return self.gru(x)[0]

    def stream(self, chunks: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield (T, 2 * hidden) for each of ``chunks`` (T, n_in), as if they had been one recording.

        Memory is that of one chunk. The price is to read all but the first
        twice: from the end, to learn what is known of the future where each
        chunk ends, then from the start.
        """
        nothing = chunks[0].new_zeros(self.gru.hidden_size)
        futures = [nothing]
        for chunk in reversed(chunks[1:]):
            futures.append(self.gru(chunk, torch.stack((nothing, futures[-1])))[1][1])
        past = nothing
        for chunk, future in zip(chunks, reversed(futures), strict=True):
            out, last = self.gru(chunk, torch.stack((past, future)))
            past = last[0]
            yield out


class E2E0(nn.Module):
    """Log-mel in, salience of every pitch bin out."""

    def __init__(self, sizes: Sizes = Sizes()) -> None:  # noqa: B008 - immutable
        super().__init__()
        self.sizes = sizes
        self.unet = UNet(sizes)
        self.cnn = nn.Conv2d(sizes.channels, 3, 3, padding=1)
        self.fc = nn.Sequential(
            BiGRU(3 * sizes.n_mels, sizes.hidden), nn.Linear(2 * sizes.hidden, sizes.n_bins), nn.Sigmoid()
        )

    @property
    def multiple(self) -> int:
        """What the number of frames must be a multiple of."""
        return 2**self.sizes.n_stages

    def forward(self, mel: Tensor) -> Tensor:
        """Return the salience (B, T, n_bins), 0 to 1.

        Args:
            mel: (B, n_mels, T), natural log; T a multiple of :attr:`multiple`.
        """
        return self.fc(self.features(mel))

    def features(self, mel: Tensor) -> Tensor:
        """Return what the U-Net makes of ``mel`` (B, n_mels, T): (B, T, 3 * n_mels)."""
        image = mel.transpose(1, 2).unsqueeze(1).contiguous(memory_format=torch.channels_last)
        return self.cnn(self.unet(image)).transpose(1, 2).flatten(2)

    def salience(self, chunks: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the salience (T, n_bins) of consecutive chunks (T, 3 * n_mels) of a recording's features."""
        for read in cast(BiGRU, self.fc[0]).stream(chunks):
            yield self.fc[1:](read)


def load_rmvpe(path: str | Path) -> E2E0:
    """Return the network of a published file: ``{'model': tensors}`` or the tensors alone, of any precision.

    Raises:
        CheckpointError: The file is unreadable, or not RMVPE's.
    """
    state = state_of(read_weights(path, keep=("model",)), path, "model")
    state = {name: tensor for name, tensor in state.items() if not name.startswith(_UNUSED)}
    with torch.device("meta"):  # neither time nor random numbers for what is overwritten
        network = E2E0(Sizes.of(state, path))
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    if shapes == {name: tensor.shape for name, tensor in state.items()}:
        network.to_empty(device="cpu")  # otherwise load_weights says what is wrong before memory is taken
    load_weights(network, state, path)
    # the channels of a pixel side by side in memory: a quarter faster on CPUs
    network.to(memory_format=torch.channels_last)
    return network.eval().requires_grad_(False)
