"""Reading and writing model files without ever running code from them.

Model files come from strangers, and a pickle can do anything. They are all read
here: modules/checkpoint/formats.py tells the formats apart,
modules/checkpoint/unpickler.py makes sure that a pickle can build nothing but
tensors and plain values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from modules.checkpoint.allowlist import LazyTensor
from modules.checkpoint.formats import opened
from modules.checkpoint.identify import identify
from modules.checkpoint.safetensors_io import SUFFIX, flat_bytes
from modules.common.errors import CheckpointError, sanitize
from modules.common.files import replacing

M = TypeVar("M", bound=nn.Module)
_SPARE_VALUES, _SPARE_TENSORS = 4_000_000, 1000  # that a module may have beside the file's
_FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn}
CONFIG_ADVICE = "Use the config.json saved beside the checkpoint."


def read_checkpoint(
    path: str | Path, keep: Collection[str] | None = None, arrays: bool = False
) -> dict[str, Any]:
    """Read a checkpoint of this project, or a published G_*.pth, on the CPU.

    Stricter than :func:`read_weights`: such a file has tensors, arrays of numpy
    (which become tensors) and plain values only, so any other class is refused.
    Only the entries ``keep`` are returned; None: all. ``arrays`` lets its numbers
    lie in the pickle, as those of numpy do, and takes a few times its size in memory.

    Raises:
        CheckpointError: The file is missing, cut short, not a checkpoint, or asks
            for something that could run code.
    """
    return _read(path, keep, strict=True, arrays=arrays)


def read_weights(
    path: str | Path, keep: Collection[str] | None = None, skip: str | None = None
) -> dict[str, Any]:
    """Read a published model file, on the CPU.

    Torch's zip, legacy and tar formats, checkpoints of fairseq among them, and
    safetensors are told apart by their content. Only what is kept is ever in
    memory. Values are tensors, of floats always float32, and plain: dict, list,
    tuple, text, bytes, numbers; an array of numpy is a tensor, a namespace a
    dict, a set a list, and an object of any other class None.

    An entry that the file does not have is left out. A file without any of
    them, whose entries are all tensors, is a bare state dict, and returned
    whole. Tensors whose names begin with ``skip`` are left out unread anywhere.

    Raises:
        CheckpointError: As of :func:`read_checkpoint`, or the file has no entry
            of ``keep``; says what it seems to be.
    """
    return _read(path, keep, strict=False, skip=skip)


def read_tensor(path: str | Path) -> Tensor:
    """Read the one tensor that ``torch.save`` wrote into a file, on the CPU; raises CheckpointError."""
    with opened(Path(path), strict=True) as (content, plain):
        if not isinstance(content, LazyTensor):
            raise CheckpointError(f"{path} holds a {type(content).__name__}, not a tensor")
        return plain(content)


def describe_file(path: str | Path) -> str:
    """Describe a model file of the wrong kind for a message: "it seems to be a ..."; "" if unknown."""
    try:
        with opened(Path(path), strict=False) as (content, _):
            kind = identify(content) if isinstance(content, dict) else None
    except CheckpointError:
        return ""
    return f"it seems to be {kind}" if kind else ""


def find_state_dict(content: Mapping[str, Any], path: str | Path, *keys: str) -> dict[str, Tensor]:
    """Find the tensors by name in ``content``: the first of ``keys`` that holds some, or itself.

    A ``module.`` that all names share (left by data-parallel training) is cut
    off, and float16, bfloat16 and float64 become float32. Raises CheckpointError,
    with the ``path`` that ``content`` is from, if there are none.
    """
    for values in (*(content.get(key) for key in keys), content):
        if _is_state(values):
            prefix = "module." if all(name.startswith("module.") for name in values) else ""
            return {
                name.removeprefix(prefix): tensor.float() if tensor.is_floating_point() else tensor
                for name, tensor in values.items()
            }
    raise _missing_entry_error(path, keys, content)


def write_checkpoint(path: str | Path, content: dict[str, Any]) -> None:
    """Write ``content`` (tensors and plain values) atomically.

    A name that ends in .safetensors makes it such a file, which has no place
    for an optimizer; see :func:`modules.checkpoint.safetensors_io.flat_bytes`.
    Raises OSError if it cannot be written; above all, the disk is full.
    """
    with replacing(path) as temporary, open(temporary, "wb") as file:
        if Path(path).suffix.lower() == SUFFIX:
            file.write(flat_bytes(content))
            return
        try:
            torch.save(content, file)
        except RuntimeError as error:  # torch closes its archive first, and complains of that instead
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


class SizeLimit(TorchFunctionMode):
    """Context where a module may take about as much memory as ``state`` can fill; else CheckpointError.

    A configuration may claim any size: it is not believed before it is known to fit the file. (The meta
    device would show the shapes as well, but its arithmetic loads 120 MB of a compiler.)
    """

    def __init__(self, state: Mapping[str, Tensor], source: str | Path, advice: str = CONFIG_ADVICE) -> None:
        super().__init__()
        self._values_left = _SPARE_VALUES + 2 * sum(tensor.numel() for tensor in state.values())
        self._tensors_left = _SPARE_TENSORS + 4 * len(state)
        self._message = f"{source} does not fit its configuration, which describes a larger model. {advice}"

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _FACTORIES:
            size = kwargs.get("size", args[0] if len(args) == 1 else args)
            self._values_left -= torch.empty(size, device="meta").numel()
            self._tensors_left -= 1
            if min(self._values_left, self._tensors_left) < 0:
                raise CheckpointError(self._message)
        return func(*args, **kwargs)


def build_module(
    build: Callable[[], M], state: dict[str, Tensor], source: str | Path, advice: str = CONFIG_ADVICE
) -> M:
    """Module that ``build`` makes, with the weights ``state``; raises CheckpointError.

    See :class:`SizeLimit` and :func:`load_weights`.
    """
    with SizeLimit(state, source, advice):
        module = build()
    load_weights(module, state, source, advice)
    return module


def load_weights(
    module: nn.Module,
    state: dict[str, Tensor],
    source: str | Path,
    advice: str = "Download it again.",
) -> None:
    """Copy ``state`` into ``module``, by name and shape, in the module's own precision.

    Raises:
        CheckpointError: Tensors are missing, unknown or of another shape; names at most
            five, the file ``source``, and what to do about it.
    """
    wanted = module.state_dict()
    state = _rename_weight_norm(wanted, state)
    wrong = [f"{sanitize(name)} is missing" for name in wanted.keys() - state.keys()]
    wrong += [f"{sanitize(name)} is unknown" for name in state.keys() - wanted.keys()]
    wrong += [
        f"{sanitize(name)} is {tuple(state[name].shape)}, wanted {tuple(wanted[name].shape)}"
        for name in wanted.keys() & state.keys()
        if state[name].shape != wanted[name].shape
    ]
    if wrong:
        kind = identify(state)
        if kind and kind != identify(wanted):
            advice = f"It seems to be {kind}."
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise CheckpointError(
            f"{source} does not fit its model: {'; '.join(sorted(wrong)[:5])}{more}. {advice}"
        )
    module.load_state_dict(state)


def load_model(module: nn.Module, path: str | Path) -> None:
    """Load the weights of a published or own ``G_*.pth`` into ``module``; raises CheckpointError."""
    load_weights(module, model_state(path), path, advice=CONFIG_ADVICE)


def model_state(path: str | Path) -> dict[str, Tensor]:
    """Tensors by name of a checkpoint's "model", or of a file of nothing else; raises CheckpointError."""
    content = read_checkpoint(path, keep=("model",))
    state = content.get("model", content)
    if not _is_state(state):
        raise CheckpointError(f"{path} holds no 'model'; it is not a checkpoint of this trainer")
    return dict(state)


_WEIGHT_NORM = {
    "weight_g": "parametrizations.weight.original0",
    "weight_v": "parametrizations.weight.original1",
}
_WEIGHT_NORM |= {new: old for old, new in _WEIGHT_NORM.items()}
_WEIGHT_NORM_NAME = re.compile(rf"(?<![^.])({'|'.join(map(re.escape, _WEIGHT_NORM))})$")


def _rename_weight_norm(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the two tensors of weight norm in ``state``, old or new, to the names that are wanted."""

    def wanted_name(name: str) -> str:
        twin = _WEIGHT_NORM_NAME.sub(lambda found: _WEIGHT_NORM[found[0]], name)
        return twin if name not in wanted and twin in wanted and twin not in state else name

    return {wanted_name(name): tensor for name, tensor in state.items()}


def _read(
    path: str | Path,
    keep: Collection[str] | None,
    strict: bool,
    skip: str | None = None,
    arrays: bool = False,
) -> dict[str, Any]:
    with opened(Path(path), strict, skip, arrays) as (content, plain):
        if not isinstance(content, dict):
            raise CheckpointError(f"{path} holds a single {type(content).__name__}, not a checkpoint")
        if keep is None:
            return plain(content)
        kept = {name: content[name] for name in content if name in keep}
        bare = bool(content) and all(isinstance(value, LazyTensor | Tensor) for value in content.values())
        if not kept and not bare:
            raise _missing_entry_error(path, keep, content)
        return plain(kept or content)


def _is_state(values: Any) -> TypeGuard[Mapping[str, Tensor]]:
    return (
        isinstance(values, Mapping)
        and bool(values)
        and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in values.items())
    )


def _missing_entry_error(
    path: str | Path, keys: Collection[str], content: Mapping[str, Any]
) -> CheckpointError:
    wanted = " or ".join(map(repr, keys)) or "tensors"
    kind = identify(content)
    return CheckpointError(f"{path} holds no {wanted}" + (f"; it seems to be {kind}" if kind else ""))
