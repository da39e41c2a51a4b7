"""The list of convolutions in a file: parsed without running it, and checked."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

from modules.common.errors import CheckpointError

Convolution = tuple[int, int, int]  # channels, taps, stride
LARGEST = 1 << 16  # channels or taps
MOST = 64  # layers


def check_reach(convolutions: Sequence[Convolution], path: str | Path) -> None:
    """Refuse convolutions whose receptive field is not 400 samples, or whose hop is not 320.

    Raises:
        CheckpointError: Says what they are.
    """
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

    Raises:
        CheckpointError: It is anything else, or lists more than 64 layers.
    """
    try:
        if isinstance(expression, str) and len(expression) <= 1000:
            return _layers(ast.parse(expression.strip(), mode="eval").body)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        pass
    shown = repr(expression)
    raise CheckpointError(
        f"{path} cannot be used: its conv_feature_layers, {shown[:60]}{'...' * (len(shown) > 60)}, "
        "is not a list of (channels, taps, stride)"
    )


def _layers(node: ast.expr) -> list[Convolution]:
    """The list of triples that ``node`` describes; raises ValueError for anything else."""
    layers: list[Convolution]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        layers = _layers(node.left) + _layers(node.right)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        several, times = node.left, node.right
        if isinstance(several, ast.Constant):
            several, times = times, several
        layers = _layers(several) * _number(times, MOST)
    elif isinstance(node, ast.List):
        layers = [_triple(item) for item in node.elts]
    else:
        raise ValueError
    if len(layers) > MOST:
        raise ValueError
    return layers


def _triple(node: ast.expr) -> Convolution:
    if not isinstance(node, ast.Tuple | ast.List) or len(node.elts) != 3:
        raise ValueError
    channels, taps, stride = (_number(item, LARGEST) for item in node.elts)
    return channels, taps, stride


def _number(node: ast.expr, largest: int) -> int:
    if not isinstance(node, ast.Constant) or type(node.value) is not int or not 1 <= node.value <= largest:
        raise ValueError
    return node.value
