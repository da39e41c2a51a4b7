"""Reading and writing model files without ever running code from them.

Model files come from strangers, and a pickle can do anything. They are all read
here: modules/checkpoint/formats.py finds the tensors in each format,
modules/checkpoint/unpickler.py makes sure that a pickle can build nothing else. Whatever
is wrong with a file ends in one :class:`CheckpointError`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from modules.checkpoint.allowlist import Array, DamagedError, LazyTensor, UnsafePickleError, sanitize
from modules.checkpoint.archive import Archive
from modules.checkpoint.formats import is_safetensors, open_archive, read_safetensors
from modules.checkpoint.identify import identify, identify_bytes
from modules.checkpoint.safetensors_io import SUFFIX, flat_bytes
from modules.checkpoint.unpickler import most_steps
from modules.common.errors import CheckpointError
from modules.common.files import replacing

_DEEPEST = 50  # containers in containers


def read_checkpoint(
    path: str | Path, keep: Collection[str] | None = None, arrays: bool = False
) -> dict[str, Any]:
    """Return the entries ``keep`` (None: all) of this project's or a published G_*.pth, on the CPU.

    Stricter than :func:`read_weights`: such a file has tensors, arrays of numpy
    (which become tensors) and plain values only, so any other class is refused.

    Args:
        path: The file.
        keep: Entries to return.
        arrays: Let its numbers lie in the pickle, as arrays of numpy do. What reading takes in memory
            is then a few times the size of the file.

    Raises:
        CheckpointError: The file is missing, cut short, no checkpoint, or asks
            for something that could run code.
    """
    return _read(Path(path), keep, strict=True, arrays=arrays)


def read_weights(
    path: str | Path, keep: Collection[str] | None = None, skip: str | None = None
) -> dict[str, Any]:
    """Return the top-level entries ``keep`` (None: all) of a published model file, on the CPU.

    Torch's zip, legacy and tar formats, checkpoints of fairseq among them, and
    safetensors are told apart by their content. Only what is kept is ever in
    memory. Values are tensors, of floats always float32, and plain: dict, list,
    tuple, text, bytes, numbers; an array of numpy is a tensor, a namespace a
    dict, a set a list, and an object of any other class None.

    An entry that the file does not have is left out. A file without any of
    them, whose entries are all tensors, is a bare state dict, and returned
    whole.

    Args:
        path: The file.
        keep: Entries to return.
        skip: Tensors whose names begin so are left out unread, wherever they are.

    Raises:
        CheckpointError: As of :func:`read_checkpoint`, or the file has no entry
            of ``keep``; says what it seems to be.
    """
    return _read(Path(path), keep, strict=False, skip=skip)


def read_tensor(path: str | Path) -> Tensor:
    """Return the one tensor that ``torch.save`` wrote into a file, on the CPU.

    Raises:
        CheckpointError: See :func:`read_checkpoint`; also when it holds anything else.
    """
    with _opened(Path(path), strict=True) as (content, plain):
        if not isinstance(content, LazyTensor):
            raise CheckpointError(f"{path} holds a {type(content).__name__}, not a tensor")
        return plain(content)


def appearance(path: str | Path) -> str:
    """Return "it seems to be a ..." for a message that a model file is of the wrong kind; "" if unknown."""
    try:
        with _opened(Path(path), strict=False) as (content, _):
            kind = identify(content) if isinstance(content, dict) else None
    except CheckpointError:
        return ""
    return f"it seems to be {kind}" if kind else ""


def state_of(content: Mapping[str, Any], path: str | Path, *keys: str) -> dict[str, Tensor]:
    """Return the tensors by name that ``content`` holds: the first of ``keys`` that is there, or itself.

    A ``module.`` that all names share (left by data-parallel training) is cut
    off, and float16, bfloat16 and float64 become float32.

    Args:
        content: What :func:`read_weights` returned.
        path: The file it is from, for messages.
        *keys: Entries that may hold the tensors, best first.

    Raises:
        CheckpointError: There is no such entry.
    """
    for values in (*(content.get(key) for key in keys), content):
        if _is_state(values):
            prefix = "module." if all(name.startswith("module.") for name in values) else ""
            return {
                name.removeprefix(prefix): tensor.float() if tensor.is_floating_point() else tensor
                for name, tensor in values.items()
            }
    raise _lacking(path, keys, content)


def write_checkpoint(path: str | Path, content: dict[str, Any]) -> None:
    """Write ``content`` (tensors and plain values) atomically.

    A name that ends in .safetensors makes it such a file, which has no place
    for an optimizer; see :func:`modules.checkpoint.safetensors_io.flat_bytes`.

    Raises:
        OSError: It cannot be written; above all, the disk is full.
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


OWN_CONFIG = "Use the config.json saved beside the checkpoint."


def load_weights(
    module: nn.Module,
    state: dict[str, Tensor],
    source: str | Path,
    advice: str = "Download it again.",
) -> None:
    """Copy ``state`` into ``module``, by name and shape, in the module's own precision.

    Args:
        module: Where to.
        state: Tensors by name.
        source: The file they are from, for messages.
        advice: What to do if they do not fit.

    Raises:
        CheckpointError: Tensors are missing, unknown or of another shape; at
            most five are named.
    """
    wanted = module.state_dict()
    state = _with_names_of(wanted, state)
    wrong = [f"{sanitize(name)} is missing" for name in wanted.keys() - state.keys()]
    wrong += [f"{sanitize(name)} is unknown" for name in state.keys() - wanted.keys()]
    wrong += [
        f"{sanitize(name)} is {tuple(state[name].shape)}, wanted {tuple(wanted[name].shape)}"
        for name in wanted.keys() & state.keys()
        if state[name].shape != wanted[name].shape
    ]
    if wrong:
        kind = identify(state)
        kind = kind if kind != identify(wanted) else None
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise CheckpointError(
            f"{source} does not fit its model: {'; '.join(sorted(wrong)[:5])}{more}. "
            + (f"It seems to be {kind}." if kind else advice)
        )
    module.load_state_dict(state)


def load_model(module: nn.Module, path: str | Path) -> None:
    """Load the weights of a published or own ``G_*.pth`` into ``module``.

    Raises:
        CheckpointError: See :func:`read_checkpoint` and :func:`load_weights`.
    """
    load_weights(module, model_state(path), path, advice=OWN_CONFIG)


def model_state(path: str | Path) -> dict[str, Tensor]:
    """Return the tensors by name of a checkpoint's "model", or of a file that holds nothing else.

    Raises:
        CheckpointError: See :func:`read_checkpoint`.
    """
    content = read_checkpoint(path, keep=("model",))
    state = content.get("model", content)
    if not _is_state(state):
        raise CheckpointError(f"{path} holds no 'model'; it is no checkpoint of this trainer")
    return dict(state)


_WEIGHT_NORM = {
    "weight_g": "parametrizations.weight.original0",
    "weight_v": "parametrizations.weight.original1",
}


def _with_names_of(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return ``state`` with the two tensors of weight norm under the names, old or new, that are wanted."""
    twins = {**_WEIGHT_NORM, **{new: old for old, new in _WEIGHT_NORM.items()}}
    renamed = {}
    for name, tensor in state.items():
        leaf = next((leaf for leaf in twins if name == leaf or name.endswith(f".{leaf}")), "")
        twin = name.removesuffix(leaf) + twins.get(leaf, "")
        renamed[twin if name not in wanted and twin in wanted and twin not in state else name] = tensor
    return renamed


def _read(
    path: Path,
    keep: Collection[str] | None,
    strict: bool,
    skip: str | None = None,
    arrays: bool = False,
) -> dict[str, Any]:
    with _opened(path, strict, skip, arrays) as (content, plain):
        if not isinstance(content, dict):
            raise CheckpointError(f"{path} holds a single {type(content).__name__}, not a checkpoint")
        if keep is None:
            return plain(content)
        kept = {name: content[name] for name in content if name in keep}
        bare = bool(content) and all(isinstance(value, LazyTensor | Tensor) for value in content.values())
        if not kept and not bare:
            raise _lacking(path, keep, content)
        return plain(kept or content)


@contextmanager
def _opened(
    path: Path, strict: bool, skip: str | None = None, arrays: bool = False
) -> Iterator[tuple[Any, Callable[[Any], Any]]]:
    """Give the content of a file, and what reads the tensors in a part of it.

    Raises:
        CheckpointError: It cannot be read, now or by the second of the two.
    """
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder, not a model file")
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist")
    try:
        with path.open("rb") as file:
            head = file.read(512)
            if is_safetensors(head, path.stat().st_size):
                yield read_safetensors(path, head, strict), partial(_chosen, skip)
            elif kind := identify_bytes(head):
                raise CheckpointError(f"{path} is {kind}")
            else:
                archive = open_archive(file, head, strict, arrays)
                yield archive.content, _Plain(archive, skip)
    except UnsafePickleError as error:
        raise CheckpointError(
            f"{path} is refused: it asks for {error}, which weights have no need of and which could run code"
        ) from None
    except DamagedError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from None
    except MemoryError:
        raise CheckpointError(f"{path} cannot be read: there is not enough memory for it") from None


class _Plain:
    """Reads the tensors in a value, and puts None for what is unknown."""

    def __init__(self, archive: Archive, skip: str | None) -> None:
        self._archive = archive
        self._skip = skip
        self._left = most_steps(archive.size)  # values: a list that holds another twice, and so on, has many

    def __call__(self, value: Any, depth: int = 0) -> Any:
        self._left -= 1
        if depth > _DEEPEST or self._left < 0:
            raise DamagedError("it holds lists in lists without end")
        if isinstance(value, LazyTensor):
            return self._archive.tensor(value)
        if isinstance(value, Array):
            return self._archive.array(value)
        if isinstance(value, dict):
            return {key: self(inner, depth + 1) for key, inner in _without(self._skip, value).items()}
        if isinstance(value, list | tuple):
            return type(value)([self(inner, depth + 1) for inner in value])
        plain = value is None or isinstance(value, str | bytes | int | float | torch.dtype)
        return value if plain else None


def _is_state(values: Any) -> TypeGuard[Mapping[str, Tensor]]:
    return (
        isinstance(values, Mapping)
        and bool(values)
        and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in values.items())
    )


def _without(skip: str | None, content: dict[Any, Any]) -> dict[Any, Any]:
    """Return ``content`` without the tensors whose names begin with ``skip``."""
    if skip is None:
        return content
    return {
        key: value
        for key, value in content.items()
        if not (isinstance(value, LazyTensor | Tensor) and str(key).startswith(skip))
    }


def _chosen(skip: str | None, content: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a safetensors file, whose tensors are read already, without what is skipped."""
    return {
        key: _without(skip, value) if isinstance(value, dict) else value
        for key, value in _without(skip, content).items()
    }


def _lacking(path: str | Path, keys: Collection[str], content: Mapping[str, Any]) -> CheckpointError:
    wanted = " or ".join(map(repr, keys)) or "tensors"
    kind = identify(content)
    return CheckpointError(f"{path} holds no {wanted}" + (f"; it seems to be {kind}" if kind else ""))
