"""FCPE (Luo et al. 2025), a small convolutional tracker: fast, without a download.

torchfcpe supplies the network and its weights, which replace the published
project's ``pretrain/fcpe.pt``, an older and larger network of the same name.
Loading, level and frames are done here, because torchfcpe prints, confuses the
lengths of the recording and of its resampled copy, and needs memory in
proportion to the length.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from modules.checkpoint import find_state_dict, load_weights, read_weights
from modules.config import DataConfig
from modules.dsp.blocks import spans
from modules.dsp.mel import LogMel
from modules.f0_predictor.fixed_rate import RATE
from modules.f0_predictor.isolation import isolated_import
from modules.f0_predictor.salience import CHUNK, HOP, SaliencePredictor

with isolated_import():
    import torchfcpe
    from torchfcpe.models import CFNaiveMelPE

MARGIN = 2 + 6 * 15  # frames on either side: two small and six large convolutions
_EDGE = 3  # frames; more than a mel window extends beyond its frame


class FcpePredictor(SaliencePredictor):
    """FCPE with the weighted mean around the peak; frame i of the network is at i * 10 ms.

    The package's own threshold is 0.006; 0.05 here is the published project's.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.network = load_fcpe().to(self.device)
        data = DataConfig(
            sampling_rate=RATE, n_fft=1024, win_length=1024, hop_length=HOP, f_min=0.0, f_max=8000.0
        )
        self.mel = LogMel(data).to(self.device)
        self.cents = self.network.cent_table.cpu().double().numpy()

    def salience(self, sound: Tensor) -> Iterator[Tensor]:
        """See :meth:`SaliencePredictor.salience`."""
        mel = self._log_mel(sound)
        convolve, norm, activate, project = self.network.input_stack
        scale, shift = _statistics(mel, convolve, norm)
        for read, keep in spans(mel.shape[2], CHUNK, MARGIN):
            hidden = project(activate(convolve(mel[:, :, read]) * scale + shift)).transpose(1, 2)
            hidden = self.network.norm(self.network.net(hidden)[:, keep])
            yield self.network.output_proj(hidden)[0].sigmoid()

    def _log_mel(self, sound: Tensor) -> Tensor:
        """Log-mel (1, 128, T // 160 + 1); the last frame is repeated, as in the network's training."""
        n_frames = len(sound) // HOP + 1
        pieces = []
        for start in range(0, max(1, n_frames - 1), CHUNK):
            first = max(0, start - _EDGE)
            piece = self.mel(sound[None, first * HOP : (start + CHUNK + _EDGE + 1) * HOP])
            pieces.append(piece[:, :, start - first : start - first + CHUNK])
        mel = torch.cat(pieces, 2)
        return torch.cat((mel, mel[:, :, -1:]), 2)[:, :, :n_frames]


def load_fcpe() -> Any:
    """Load the network of the torchfcpe package with its weights, on the CPU."""
    path = Path(torchfcpe.__file__).parent / "assets" / "fcpe_c_v001.pt"
    content = read_weights(path, keep=("model", "config_dict"))
    config = content["config_dict"]["model"]
    sizes = ("out_dims", "hidden_dims", "n_layers", "n_heads", "f0_min", "f0_max", "use_fa_norm", "conv_only")
    with torch.random.fork_rng(devices=[]):  # random initialization, overwritten below
        network = CFNaiveMelPE(
            content["config_dict"]["mel"]["num_mels"], **{name: config[name] for name in sizes}
        )
    load_weights(network, find_state_dict(content, path, "model"), path)
    return network.eval().requires_grad_(False)


def _statistics(mel: Tensor, convolve: nn.Conv1d, norm: nn.GroupNorm) -> tuple[Tensor, Tensor]:
    """Scale and shift (C, 1) of ``norm`` over the whole recording, ``mel`` (1, M, L), after ``convolve``."""
    per_group = norm.num_channels // norm.num_groups
    sums = torch.zeros(2, norm.num_groups, dtype=torch.float64)  # not every device has float64
    for read, keep in spans(mel.shape[2], CHUNK, 1):
        groups = convolve(mel[:, :, read])[0, :, keep].reshape(norm.num_groups, -1)
        sums += torch.stack((groups.sum(1), groups.square().sum(1))).cpu()
    mean, power = sums / (per_group * mel.shape[2])
    deviation = (power - mean.square()).clamp(min=0).add(norm.eps).sqrt()
    mean, deviation = (x.float().repeat_interleave(per_group).to(mel.device) for x in (mean, deviation))
    scale = norm.weight / deviation
    return scale[:, None], (norm.bias - scale * mean)[:, None]
