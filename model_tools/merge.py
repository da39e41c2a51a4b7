"""Several voices in one model: the weighted mean of their weights.

Unlike a mix that changes along the song, this makes a new voice
permanently, from models of one speaker each. It works between models that
were trained from the same base, whose weights correspond.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models import network_of
from modules.checkpoint import build_module, load_model, model_state, write_checkpoint
from modules.common.errors import CheckpointError, ConfigError
from modules.config import Config, load_config

# settings of the data section that define a mel
_MEL = ("sampling_rate", "hop_length", "n_mels", "n_fft", "win_length", "f_min", "f_max")


@dataclass(frozen=True)
class MixedModel:
    """A mix of several models."""

    path: Path
    weights: tuple[float, ...]  # of each model in the mix
    config_path: Path  # of the first model; it fits the result, as any of the others does
    advice: str | None  # a sentence if the result is probably not usable


def mix_models(
    models: Sequence[str | Path],
    ratios: Sequence[float],
    output: str | Path = "output.pth",
    *,
    convex: bool = True,
    configs: Sequence[str | Path] | None = None,
    progress: Callable[[int, int], Any] | None = None,
) -> MixedModel:
    """Write the combination of several Glow models: embeddings, speaker by speaker, and all the rest.

    Two models are in memory at a time, and the sum so far in float64. Speakers of
    equal id are mixed, with ``ratios`` in percent, 0 to 100. ``convex`` weights are
    the softmax of ratio / 100, and so have a sum of 1; the others (linear) are
    ratio / 100 as it is, as published. ``output`` may be .safetensors. ``configs``
    are the config.json of each model, or those beside them. ``progress`` is called
    with (models done, of how many).

    Raises:
        ConfigError: The ratios are not one for each model, outside 0 to 100 or
            all 0; a configuration is missing; the models differ in architecture,
            speakers or mels, which is named; ``output`` is one of the models.
        CheckpointError: A model cannot be read, does not fit its configuration,
            or holds NaN.
        OSError: The result cannot be written.
    """
    paths, output = [Path(model) for model in models], Path(output)
    weights = mix_weights(len(paths), ratios, convex)
    if any(path.exists() and output.exists() and output.samefile(path) for path in paths):
        raise ConfigError(f"{output} is one of the models; give the result another name with -o")
    config_paths = _config_paths(paths, configs)
    config = _common_config(config_paths)
    config.warn_of_no_names(config_paths[0])

    first = model_state(paths[0])
    model = build_module(lambda: network_of(first)(config.model), first, paths[0])
    total: dict[str, Tensor] = {}
    for i, (path, weight) in enumerate(zip(paths, weights, strict=True)):
        load_model(model, path)
        for name, tensor in model.state_dict().items():
            if not torch.isfinite(tensor).all():
                raise CheckpointError(f"{path} holds NaN or infinity in {name}; use an earlier checkpoint")
            part = tensor.double() * weight
            total[name] = total[name].add_(part) if i else part
        if progress:
            progress(i + 1, len(paths))
    model.load_state_dict(total)  # tensors that are one under two names stay so
    rate = config.train.learning_rate
    write_checkpoint(
        output, {"model": model.state_dict(), "iteration": 0, "optimizer": None, "learning_rate": rate}
    )
    advice = None
    if not math.isclose(sum(weights), 1, abs_tol=1e-3):
        advice = (
            f"the ratios have a sum of {100 * sum(weights):g} %, so all weights are scaled by it, which a "
            "model rarely survives; a linear mix needs 100"
        )
    return MixedModel(output, weights, config_paths[0], advice)


def mix_weights(n_models: int, ratios: Sequence[float], convex: bool = True) -> tuple[float, ...]:
    """Weight of each model; arguments and errors as of :func:`mix_models`."""
    if n_models < 2:
        raise ConfigError("name two models or more to mix")
    if len(ratios) != n_models:
        raise ConfigError(f"there are {n_models} models and {len(ratios)} ratios; give one ratio for each")
    for ratio in ratios:
        if not 0 <= ratio <= 100:  # NaN is refused too
            raise ConfigError(
                f"a ratio must be 0 to 100 %, not {ratio:g}: beyond it, the result is unpredictable"
            )
    if not convex:
        if not any(ratios):
            raise ConfigError("all ratios are 0: nothing is left of any model")
        return tuple(ratio / 100 for ratio in ratios)
    powers = [math.exp(ratio / 100) for ratio in ratios]
    return tuple(power / sum(powers) for power in powers)


def _config_paths(models: Sequence[Path], configs: Sequence[str | Path] | None) -> list[Path]:
    if configs is not None and len(configs) != len(models):
        raise ConfigError(
            f"there are {len(models)} models and {len(configs)} configurations; give one for each"
        )
    paths = [Path(path) for path in configs or [model.with_name("config.json") for model in models]]
    for path, model in zip(paths, models, strict=True):
        if not path.is_file():
            raise ConfigError(f"{path}, the configuration of {model}, does not exist; name one with -c")
    return paths


def _common_config(paths: Sequence[Path]) -> Config:
    """The first configuration; raises ConfigError if another one describes another kind of model."""
    first, *others = (load_config(path) for path in paths)
    for path, other in zip(paths[1:], others, strict=True):
        pair = f"{paths[0]} and {path}"
        counts = [(c.model.n_speakers, len(c.spk)) for c in (first, other)]
        for ours, theirs in zip(*counts, strict=True):
            if ours != theirs:
                raise ConfigError(
                    f"{pair}: {ours} and {theirs} speakers cannot be mixed; speakers of equal id are, "
                    "so their numbers must agree"
                )
        if differing := _differing(asdict(first.model), asdict(other.model)):
            raise ConfigError(
                f"{pair}: only models with equal model sections can be mixed; they differ in " + differing
            )
        mels = [{name: getattr(c.data, name) for name in _MEL} for c in (first, other)]
        if differing := _differing(*mels):
            raise ConfigError(f"{pair}: the models have different kinds of mel; they differ in {differing}")
    return first


def _differing(first: dict[str, Any], second: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} ({first[name]} and {second[name]})" for name in first if first[name] != second[name]
    )
