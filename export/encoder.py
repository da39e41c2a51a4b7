"""Speech encoders as ONNX graphs: a wave of any length in, its units out.

The signature is that of the published graphs: ``source`` [1, 1, samples] at
16 kHz to ``embed`` [1, units, channels], with padding, normalisation and
projection inside. No graph takes its place before onnxruntime has given with it
what PyTorch gives without.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn import functional as F
from transformers.models.wavlm.modeling_wavlm import WavLMAttention

from export.graph import write_graph
from modules.common.errors import CheckpointError
from modules.common.files import replacing
from modules.common.progress import stage
from vencoder import ppg
from vencoder.onnx import OnnxEncoder
from vencoder.ppg import PpgEncoder
from vencoder.wavlm import GatedAttention
from vencoder.windowed import WindowedEncoder

TOLERANCE = 1e-3  # of the largest unit; float32 in another order differs by 1e-5
# one unit, the last sample before and the first of the next, odd, even, and longer than the trace by far
LENGTHS = (400, 719, 720, 8123, 16000, 197123)
_TRACED = 50  # units; any number but 0 and 1, which the tracer takes for constants


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: The file.
        difference: Largest from PyTorch, of any number and length, relative to the largest unit.
    """

    path: Path
    difference: float


class Wave(nn.Module):
    """A windowed encoder as one module without windows: (1, 1, T) to (1, U, D).

    Args:
        encoder: Whose network, padding and normalisation are used.
    """

    def __init__(self, encoder: WindowedEncoder) -> None:
        super().__init__()
        network = copy.deepcopy(cast(nn.Module, encoder.network))
        for module in network.modules():
            # it goes through the queries in pieces, as many as the example has; the library's
            # takes them all at once, from the same weights
            if isinstance(module, GatedAttention):
                module.__class__ = WavLMAttention  # type: ignore[assignment]
        self.network = cast(Any, network)
        self.padding = encoder.padding
        self.normalize = encoder.normalize

    def forward(self, source: Tensor) -> Tensor:
        """Return units (1, U, D) of ``source`` (1, 1, T); U = (T + 2 padding - 400) // 320 + 1."""
        wave = source[:, 0]
        if self.normalize:  # the layer norm of all samples, whose number it would take for a constant
            wave = wave - wave.mean(1, keepdim=True)
            wave = wave / (wave.square().mean(1, keepdim=True) + 1e-5).sqrt()
        padded = F.pad(wave, (self.padding, self.padding))
        return self.network.units(self.network.features(padded))


def export_encoder(encoder: WindowedEncoder | PpgEncoder, path: Path) -> Exported:
    """Write ``encoder`` as ONNX to ``path``, and compare the two.

    Args:
        encoder: On the CPU, float32.
        path: Where to; what is there stays until the new file has passed.

    Raises:
        CheckpointError: The graph does not give the same units, or is too large for one file.
        OSError: It cannot be written.
    """
    frames = Dim("n_units", min=2)
    module: nn.Module
    if isinstance(encoder, PpgEncoder):
        module, n_lost = ppg.PpgGraph(encoder), 0
    else:
        module, n_lost = Wave(encoder), 400 - encoder.hop_length - 2 * encoder.padding
    example = torch.zeros(1, 1, _TRACED * encoder.hop_length + n_lost)
    with replacing(path) as temporary:
        with stage(f"{encoder.name}: tracing the network, a minute or so"):
            write_graph(
                module,
                temporary,
                examples={"source": example},
                # whole units keep every length inside a linear expression; the graph has no such limit
                dims={"source": {2: encoder.hop_length * frames + n_lost}},
                shapes={"source": [1, 1, "n_samples"], "embed": [1, "n_units", encoder.ssl_dim]},
                facts={
                    "encoder": encoder.name,
                    "sampling_rate": str(encoder.sampling_rate),
                    "hop_length": str(encoder.hop_length),
                    "ssl_dim": str(encoder.ssl_dim),
                },
            )
        with stage(f"{encoder.name}: comparing onnxruntime with PyTorch at {len(LENGTHS)} lengths"):
            difference = _compare(encoder, OnnxEncoder(encoder.name, weights=temporary))
    return Exported(path, difference)


def _compare(encoder: WindowedEncoder | PpgEncoder, graph: OnnxEncoder) -> float:
    """Return the largest difference, relative to the largest unit; raises CheckpointError above TOLERANCE."""
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for length in LENGTHS:
        audio = 0.1 * torch.randn(length, generator=generator)
        wanted, found = encoder.encode(audio), graph.encode(audio)
        where = f"at {length} samples the graph of {encoder.name!r}"
        if wanted.shape != found.shape:
            shapes = f"{list(found.shape)}, PyTorch {list(wanted.shape)}"
            raise CheckpointError(f"{where} gives units of {shapes}; nothing is written")
        difference = float((found - wanted).abs().max() / wanted.abs().max())
        if not difference <= TOLERANCE:
            raise CheckpointError(
                f"{where} is {difference:.1e} off PyTorch, more than {TOLERANCE:.0e}; nothing is written"
            )
        worst = max(worst, difference)
    return worst
