"""Encoders that are a PyTorch network: reading a published file into a library's model.

Sizes follow from the tensors where they can. The network is first built on the
meta device, so nothing is allocated or initialized for a file that does not fit.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from modules.checkpoint import load_weights
from modules.checkpoint.identify import identify
from modules.common.device import autocast, convert_weights
from modules.common.errors import CheckpointError
from vencoder.base import SpeechEncoder


class NetworkEncoder(SpeechEncoder):
    """An encoder with a network in eval mode, without gradients, on the device.

    Raises:
        MissingWeightsError: The file has not been downloaded.
        CheckpointError: It cannot be read, or is another kind of model.
    """

    network: Any
    device: torch.device
    dtype: torch.dtype

    def _set_up(self) -> None:
        self.device, self.dtype = torch.device(self.device), self.dtype or torch.float32
        path = self._weights_file()
        self.network = self._load(path)
        self.ssl_dim = self.network.ssl_dim
        self._check_ssl_dim(path)
        convert_weights(self.network, self.dtype)
        self.network.to(self.device)

    @abstractmethod
    def _load(self, path: Path) -> nn.Module:
        """The network of a file, with an attribute ``ssl_dim``; raises CheckpointError."""

    def _autocast(self) -> torch.autocast:
        """Context in which matrix products are computed in the encoder's dtype."""
        return autocast(self.device, self.dtype)


def assign_weights(network: nn.Module, state: Mapping[str, Tensor], path: str | Path) -> None:
    """Make the tensors of a file the weights of ``network``, ready for use: eval mode, no gradients.

    ``network`` was built under ``torch.device("meta")``. The tensors are not
    copied, so a large model is in memory once. Weight norm is folded into the weight.

    Raises:
        CheckpointError: Tensors are missing, unknown, or of the wrong shape.
    """
    load_weights(network, {name: tensor.to("meta") for name, tensor in state.items()}, path)
    network.load_state_dict({name: tensor.float() for name, tensor in state.items()}, assign=True)
    for module in list(network.modules()):
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")
    network.eval().requires_grad_(False)


def check_model_kind(state: Mapping[str, Tensor], kind: str, path: str | Path) -> None:
    """Refuse tensors that are known to be of another kind of model than ``kind``; raises CheckpointError."""
    found = identify(state)
    if found and kind not in found:
        raise CheckpointError(f"{path} is not a {kind} checkpoint; it seems to be {found}")


def shape_of(
    state: Mapping[str, Tensor], kind: str, path: str | Path, name: str, n_axes: int
) -> tuple[int, ...]:
    """Shape of the tensor ``name``; raises CheckpointError unless it has ``n_axes`` axes, none empty."""
    tensor = state.get(name)
    if tensor is None or tensor.ndim != n_axes or not tensor.numel():
        found = "is missing" if tensor is None else f"is {tuple(tensor.shape)}"
        raise CheckpointError(f"{path} is not a {kind} checkpoint: {name} {found}")
    return tuple(tensor.shape)


def count_layers(state: Mapping[str, Tensor], name: str) -> int:
    """Number of consecutive layers, from 0, for which ``state`` has ``name`` with "{}" as the index."""
    return next(index for index in count() if name.format(index) not in state)
