"""DPHuBERT: a HuBERT at a quarter of its size, read from the file that its training leaves.

The published project never left training mode, in which layers are dropped at
random, so its units changed from call to call; here they do not.

Peng et al., DPHuBERT: joint distillation and pruning of self-supervised speech
models (2023).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from modules.checkpoint import read_weights, state_of
from modules.common.errors import CheckpointError
from vencoder.base import check_width, weights_file
from vencoder.convolutions import LARGEST, MOST, Convolution, check_reach
from vencoder.dphubert_model import DPHubert, Layer, Sizes
from vencoder.windowed import WindowedEncoder, adopt_weights, lower_precision, refuse_others

_KIND = "DPHuBERT"


class DPHubertEncoder(WindowedEncoder):
    """Units of DPHuBERT, its last layer, 768 channels.

    Args:
        device: Where the units are computed and returned.
        weights: The model's file; None: the published one's place.
        dtype: bfloat16 or float16 halves the time and the memory of the matrix
            products where the device is made for it. Units stay float32.

    Raises:
        MissingWeightsError: The file has not been downloaded.
        CheckpointError: It cannot be read, or is no such model.
    """

    name = "dphubert"

    def __init__(
        self,
        device: torch.device | str = "cpu",
        weights: Path | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.device = torch.device(device)
        self.dtype = dtype
        path = weights_file(self.name, weights)
        # beside them are projections that training compared layers with
        content = read_weights(path, keep=("state_dict", "config"))
        state = state_of(content, path, "state_dict")
        refuse_others(state, _KIND, path)
        config = content.get("config")
        if not isinstance(config, dict):
            raise CheckpointError(f"{path} is no {_KIND} checkpoint: it does not state its sizes, 'config'")
        self.normalize = config.get("normalize_waveform", False) is True
        self.network = load_network(state, config, path)
        self.ssl_dim = len(self.network.encoder.transformer.layer_norm.weight)
        if weights is None:
            check_width(self.name, self.ssl_dim, path)
        if dtype != torch.float32:
            lower_precision(self.network, dtype)
        self.network.to(self.device)


def load_network(state: Mapping[str, Tensor], config: Mapping[str, Any], path: str | Path) -> DPHubert:
    """Return the network with the tensors of a published file, ready for use.

    On the meta device if the tensors are.

    Args:
        state: The file's tensors, float32.
        config: The sizes that the file states.
        path: The file, for messages.

    Raises:
        CheckpointError: Sizes are missing or make no sense, or tensors are
            missing, unknown, or of the wrong shape.
    """
    with torch.device("meta"):  # no random initialisation, and nothing allocated for a file that does not fit
        network = DPHubert(sizes_of(config, path))
    adopt_weights(network, state, path)
    # the kernel follows from its two parts once and for all
    parametrize.remove_parametrizations(network.encoder.transformer.pos_conv_embed.conv, "weight")
    network.requires_grad_(False)
    return network


def sizes_of(config: Mapping[str, Any], path: str | Path) -> Sizes:
    """Return the sizes that a published file states, checked.

    Raises:
        CheckpointError: Some are missing or make no sense, or they are those of
            another design.
    """
    if "encoder_remaining_heads" in config:
        raise CheckpointError(
            f"{path} cannot be used: it is a DPWavLM, made from WavLM; the encoder needs a DPHuBERT, "
            "such as DPHuBERT-sp0.75.pth"
        )
    if config.get("extractor_mode") != "group_norm" or config.get("encoder_layer_norm_first") is not False:
        raise CheckpointError(
            f"{path} cannot be used: it is not made from HuBERT-base "
            "(extractor_mode is not 'group_norm', or encoder_layer_norm_first is not False)"
        )
    convolutions = _convolutions(config, path)
    width = _number(config, "encoder_embed_dim", path)
    pos_groups = _number(config, "encoder_pos_conv_groups", path)
    if width % pos_groups:
        raise CheckpointError(f"{path} cannot be used: {width} channels make no {pos_groups} groups")
    return Sizes(
        convolutions=convolutions,
        conv_bias=config.get("extractor_conv_bias", False) is True,
        width=width,
        head_width=_number(config, "encoder_head_dim", path),
        pos_taps=_number(config, "encoder_pos_conv_kernel", path),
        pos_groups=pos_groups,
        layers=_layers(config, path),
    )


def _layers(config: Mapping[str, Any], path: str | Path) -> list[Layer]:
    """Return what is left of each layer; a part that is there must have a size, one that is not may."""
    n_layers = _number(config, "encoder_num_layers", path)
    parts = []
    for flag, size in (
        ("encoder_use_attention", "encoder_num_heads"),
        ("encoder_use_feed_forward", "encoder_ff_interm_features"),
    ):
        used, sizes = config.get(flag), config.get(size)
        if (
            not isinstance(used, list | tuple)
            or not isinstance(sizes, list | tuple)
            or not len(used) == len(sizes) == n_layers <= MOST
        ):
            raise _senseless(path, f"{flag} and {size} do not have one value for each of the layers")
        if not all(_is_size(value) for value, is_used in zip(sizes, used, strict=True) if is_used):
            raise _senseless(path, f"{size} holds what is no size")
        parts.append([value if is_used else 0 for value, is_used in zip(sizes, used, strict=True)])
    return [Layer(n_heads=n_heads, n_inner=n_inner) for n_heads, n_inner in zip(*parts, strict=True)]


def _convolutions(config: Mapping[str, Any], path: str | Path) -> list[Convolution]:
    name = "extractor_conv_layer_config"
    layers = config.get(name)
    if not isinstance(layers, list | tuple) or not 1 <= len(layers) <= MOST:
        raise _senseless(path, f"{name} is no list of 1 to {MOST}")
    convolutions = []
    for layer in layers:
        if not isinstance(layer, list | tuple) or len(layer) != 3 or not all(map(_is_size, layer)):
            raise _senseless(path, f"{name} holds what is no (channels, taps, stride)")
        channels, n_taps, stride = layer
        convolutions.append((channels, n_taps, stride))
    check_reach(convolutions, path)
    return convolutions


def _number(config: Mapping[str, Any], name: str, path: str | Path) -> int:
    value = config.get(name)
    if not _is_size(value):
        raise _senseless(path, f"{name} is {'missing' if value is None else 'no size'}")
    return value


def _is_size(value: object) -> TypeGuard[int]:
    return type(value) is int and 1 <= value <= LARGEST


def _senseless(path: str | Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{path} cannot be used: in its config, {reason}")
