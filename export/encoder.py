"""Speech encoders as ONNX graphs: audio of any length to units.

The signature is that of the published graphs: ``source`` [1, 1, samples] at
16 kHz to ``embed`` [1, units, channels], with padding, normalisation and
projection inside. Each graph is compared with PyTorch before its file takes
its place.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn import functional as F
from transformers.models.wavlm.modeling_wavlm import WavLMAttention

from export.check import measure
from export.graph import TRACED, Shape, write_graph
from modules.common.files import replacing
from modules.common.progress import stage
from vencoder import ppg
from vencoder.onnx import OnnxEncoder
from vencoder.ppg import PpgEncoder
from vencoder.wavlm import GatedAttention
from vencoder.windowed import WindowedEncoder

# samples: one unit, the last before and the first of the next, odd, even, and much longer than the trace
LENGTHS = (400, 719, 720, 8123, 16000, 197123)


class WindowedGraph(nn.Module):
    """A windowed encoder as one module without windows: (1, 1, T) to (1, U, D)."""

    def __init__(self, encoder: WindowedEncoder) -> None:
        super().__init__()
        network = copy.deepcopy(cast(nn.Module, encoder.network))
        for module in network.modules():
            # it loops over pieces of the queries, as many as the example has; the library's class
            # has the same weights and no loop
            if isinstance(module, GatedAttention):
                module.__class__ = WavLMAttention  # type: ignore[assignment]
        self.network = cast(Any, network)
        self.padding = encoder.padding
        self.normalize = encoder.normalize

    def forward(self, source: Tensor) -> Tensor:
        """Map ``source`` (1, 1, T) to units (1, U, D); U = (T + 2 padding - 400) // 320 + 1."""
        wave = source[:, 0]
        if self.normalize:  # F.layer_norm would trace the number of samples as a constant
            wave = wave - wave.mean(1, keepdim=True)
            wave = wave / (wave.square().mean(1, keepdim=True) + 1e-5).sqrt()
        padded = F.pad(wave, (self.padding, self.padding))
        return self.network.units(self.network.features(padded))


def export_encoder(encoder: WindowedEncoder | PpgEncoder, path: Path) -> float:
    """Write ``encoder``, on the CPU in float32, as ONNX to ``path``, which it takes if it agrees.

    Returns the largest difference from PyTorch, relative to the largest unit.

    Raises:
        CheckpointError: The graph does not give the same units, or is too large for one file.
        OSError: It cannot be written.
    """
    module: nn.Module
    if isinstance(encoder, PpgEncoder):
        module, n_lost = ppg.PpgGraph(encoder), 0
    else:
        module, n_lost = WindowedGraph(encoder), 400 - encoder.hop_length - 2 * encoder.padding
    example = torch.zeros(1, 1, TRACED * encoder.hop_length + n_lost)
    # whole units keep every length inside a linear expression; the graph has no such limit
    dims = {"source": {2: encoder.hop_length * Dim("n_units", min=2) + n_lost}}
    shapes: dict[str, Shape] = {"source": [1, 1, "n_samples"], "embed": [1, "n_units", encoder.ssl_dim]}
    facts = {"encoder": encoder.name, "centre": str(encoder.clock.centre)}
    facts |= {name: str(getattr(encoder, name)) for name in ("sampling_rate", "hop_length", "ssl_dim")}
    with replacing(path) as temporary:
        with stage(f"{encoder.name}: tracing the network, a minute or so"):
            write_graph(module, temporary, {"source": example}, dims, shapes, facts)
        with stage(f"{encoder.name}: comparing onnxruntime with PyTorch at {len(LENGTHS)} lengths"):
            return _compare(encoder, OnnxEncoder(encoder.name, weights=temporary))


def _compare(encoder: WindowedEncoder | PpgEncoder, graph: OnnxEncoder) -> float:
    """Largest difference, relative to the largest unit; raises CheckpointError above the tolerance."""
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for length in LENGTHS:
        audio = 0.1 * torch.randn(length, generator=generator)
        found, wanted = graph.encode(audio).numpy(), encoder.encode(audio).numpy()
        where = f"the graph of {encoder.name!r} at {length} samples"
        difference, largest = measure(found, wanted, 0.0, where)
        worst = max(worst, difference / largest)
    return worst
