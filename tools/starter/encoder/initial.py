"""Weights that training starts from: the first layers of the teacher's encoder.

Three things differ between them and the network. Its spectrum is another one: a linear map,
found by least squares, goes into the first convolution. It has no absolute positions: their average
is added everywhere. And their influence on the attention becomes the bias of each distance: what
the teacher's attention has more than the network's, on average over recordings.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn

from tools.starter.encoder.tracks import pieces, voices
from tools.starter.transfer import linear_map
from vencoder.ppg import PowerMel, pad_frames, relative_mel
from vencoder.ppg.attention import AttentionLayer, AttentionNetwork

if TYPE_CHECKING:
    from transformers.models.whisper.modeling_whisper import WhisperEncoderLayer

_N_VOICES = 40
_SECONDS = 20.0  # of each
_NAMES = {
    "attention_norm": "self_attn_layer_norm",
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "mix": "self_attn.out_proj",
    "norm": "final_layer_norm",
    "up": "fc1",
    "down": "fc2",
}


@torch.no_grad()
def initialise(network: AttentionNetwork, work: Path) -> None:
    """Give ``network`` the weights of the teacher's first layers, with voices in ``work`` as examples."""
    from evaluation.whisper_base import load_whisper_encoder
    from vencoder.whisper import WhisperSpectrogram

    teacher = load_whisper_encoder(len(network.layers))
    spectrogram = WhisperSpectrogram(teacher.config.num_mel_bins, teacher.config.max_source_positions)
    examples = [_example(folder) for folder in _spread(voices(work))]
    mels = [relative_mel(PowerMel()(pad_frames(audio)[None]))[0][0] for audio in examples]
    wanted = [spectrogram(audio)[:, : len(mel)].T for audio, mel in zip(examples, mels, strict=True)]
    frames = torch.cat([mel[: len(other)] for mel, other in zip(mels, wanted, strict=True)])
    frames = torch.cat([frames, frames.new_ones(len(frames), 1)], 1)
    map_ = linear_map(frames, torch.cat(wanted))

    assert network.conv1.bias is not None and teacher.conv1.bias is not None
    network.conv1.weight.copy_(torch.einsum("cmk,em->cek", teacher.conv1.weight, map_[:-1]))
    network.conv1.bias.copy_(teacher.conv1.bias + teacher.conv1.weight.sum(2) @ map_[-1])
    network.conv2.load_state_dict(teacher.conv2.state_dict())
    positions = teacher.embed_positions.weight
    network.place.copy_(positions.mean(0))
    places = range(0, len(positions) - max(len(mel) // 2 for mel in mels), 97)
    inputs = [network.stem(mel[None])[0] for mel in mels]
    theirs = [
        x - network.place + positions[place : place + len(x)]
        for x, place in zip(inputs, np.resize(places, len(inputs)).tolist(), strict=True)
    ]
    for own, layer in zip(network.layers, teacher.layers, strict=True):
        assert isinstance(own, AttentionLayer)
        layer = cast("WhisperEncoderLayer", layer)
        for name, other in _NAMES.items():
            own.get_submodule(name).load_state_dict(layer.get_submodule(other).state_dict())
        _scale(own.attention_norm, inputs, theirs)
        distance = _distances(own, theirs, layer.self_attn_layer_norm)
        distance -= _distances(own, inputs, own.attention_norm)
        own.distance.copy_(distance - distance.mean(1, keepdim=True))  # the same for all changes nothing
        inputs = [own.attend(x[None])[0] for x in inputs]
        theirs = [_attended(layer, x[None])[0] for x in theirs]
        _scale(own.norm, inputs, theirs)
        inputs = [own.transform(x) for x in inputs]
        theirs = [x + layer.fc2(nn.functional.gelu(layer.fc1(layer.final_layer_norm(x)))) for x in theirs]


def _attended(layer: WhisperEncoderLayer, x: Tensor) -> Tensor:
    """``x`` (B, U, C) after the attention of a layer of the teacher."""
    return x + layer.self_attn(layer.self_attn_layer_norm(x))[0]


def _scale(norm: nn.Module, own: Sequence[Tensor], theirs: Sequence[Tensor]) -> None:
    """Let ``norm`` give ``own`` (U, C) the scale that it gives what is common to them and ``theirs``."""
    sizes = [torch.cat([x.std(1) for x in some]).mean() for some in (own, theirs)]
    assert isinstance(norm, nn.LayerNorm)
    norm.weight.mul_(sizes[0] / sizes[1])


def _distances(layer: AttentionLayer, inputs: Sequence[Tensor], norm: nn.Module) -> Tensor:
    """Attention (heads, past + 1 + future) to units at each distance, before the softmax, on average."""
    total = torch.zeros_like(layer.distance)
    count = torch.zeros(total.size(1))
    for x in inputs:
        y = norm(x)
        query, key = (
            proj(y).unflatten(-1, (layer.heads, -1)).transpose(0, 1) for proj in (layer.query, layer.key)
        )
        logits = query @ key.transpose(1, 2) / query.size(-1) ** 0.5
        for index in range(total.size(1)):
            diagonal = logits.diagonal(index - layer.past, 1, 2)
            total[:, index] += diagonal.sum(1)
            count[index] += diagonal.size(1)
    return total / count


def _example(folder: Path) -> Tensor:
    audio, _ = next(pieces(folder))
    return torch.from_numpy(audio[: int(_SECONDS * 16000)])


def _spread(folders: Sequence[Path]) -> Sequence[Path]:
    return folders[:: -(-len(folders) // _N_VOICES)]
