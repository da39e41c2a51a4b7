"""The list of convolutions in a file: parsed without running it, and checked."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

from modules.common.errors import CheckpointError, sanitize

Convolution = tuple[int, int, int]  # channels, taps, stride
LARGEST = 1 << 16  # channels or taps
MOST = 64  # layers


def check_reach(convolutions: Sequence[Convolution], path: str | Path) -> None:
    """Raise CheckpointError unless the receptive field is 400 samples and the hop is 320."""
    field, hop = 1, 1
    for _, n_taps, stride in convolutions:
        field, hop = field + (n_taps - 1) * hop, hop * stride
    if (field, hop) != (400, 320):
        raise CheckpointError(
            f"{path} cannot be used: its convolutions have a receptive field of {field} samples and a hop of "
            f"{hop}; expected are 400 and 320"
        )


def from_expression(expression: object, path: str | Path) -> list[Convolution]:
    """Parse the convolutions that a file lists as a Python expression.

    ``[(512,10,5)] + [(512,3,2)] * 4`` is an example. The expression is never
    run: lists of three integers each, their sums and multiples are allowed.
    Anything else, or more than 64 layers, raises CheckpointError.
    """
    try:
        if isinstance(expression, str) and len(expression) <= 1000:
            layers = [layer for term in expression.split("+") for layer in _repeated(term)]
            if len(layers) <= MOST:
                return layers
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        pass
    # never the repr of a list, which may hold one text a million times
    shown = repr(sanitize(expression, 60)) if isinstance(expression, str) else type(expression).__name__
    raise CheckpointError(
        f"{path} cannot be used: its conv_feature_layers, {shown}, is not a list of (channels, taps, stride)"
    )


def _repeated(term: str) -> list[Convolution]:
    """Layers of ``[(channels, taps, stride), ...]`` and at most one factor; raises ValueError for others."""
    factors = [ast.literal_eval(factor.strip()) for factor in term.split("*")]
    (layers,) = (factor for factor in factors if isinstance(factor, list))
    times = [_number(factor, MOST) for factor in factors if factor is not layers] or [1]
    if len(times) > 1:
        raise ValueError
    triples = [(_number(n, LARGEST), _number(m, LARGEST), _number(k, LARGEST)) for n, m, k in layers]
    return triples * times[0]


def _number(value: object, largest: int) -> int:
    if type(value) is not int or not 1 <= value <= largest:
        raise ValueError
    return value
