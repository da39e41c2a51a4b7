"""A trained model without the state that only training needs: the file to keep, and to share.

An optimizer is two thirds of a checkpoint, and a run with a running mean saves
its weights twice. The rest has the published form, so it converts, and can be
the base of another training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diffusion.config import load_diffusion_config
from diffusion.unit2mel import Unit2Mel
from models import GlowSVC, ReferenceGlow, network_of
from modules.checkpoint import build_module, load_weights, read_checkpoint, write_checkpoint
from modules.checkpoint.identify import identify
from modules.checkpoint.safetensors_io import identity, own_storage
from modules.common.errors import CheckpointError, ConfigError
from modules.config import load_config

GLOW, BASE, DIFFUSION = "voice model", "base model", "diffusion model"
_KINDS = {  # as identify() calls them
    "a Glow-SVC voice model": GLOW,
    "a Glow-SVC base model, for --reference and train.py --base": BASE,
    "a diffusion model": DIFFUSION,
}
# entries that published loaders require beside "model"
_ENTRIES: dict[str, dict[str, Any]] = {
    **dict.fromkeys((GLOW, BASE), {"iteration": 0, "optimizer": None, "learning_rate": 0.0}),
    DIFFUSION: {"global_step": 0},
}
# beside the checkpoints of a training
_CONFIGS = {GLOW: "config.json", BASE: "config.json", DIFFUSION: "config.yaml"}
_SMALLEST = 1024  # values; smaller tensors stay float32: few bytes, which scale whole channels
_K_STEP = 100  # steps of shallow diffusion as in conversion
_FRAMES = 100  # of the synthetic song


@dataclass(frozen=True)
class CompressedModel:
    """A compressed checkpoint."""

    path: Path
    kind: str  # GLOW, BASE or DIFFUSION
    before: int  # bytes
    after: int
    # by half precision, in the mel of a synthetic song, natural log: (mean, largest); None: not measured
    mel_change: tuple[float, float] | None
    config_path: Path | None  # that the model was checked with


def compress_model(
    source: str | Path, output: str | Path, config_path: str | Path | None = None, half: bool = False
) -> CompressedModel:
    """Write ``source`` again without optimizer, progress and whatever else only training needs.

    ``source`` is a published or own ``G_*.pth`` or ``model_*.pt``, or a compressed
    one, recognised by its content. ``output`` may be .safetensors. Without
    ``config_path`` the configuration is the one beside ``source``, if it exists.
    ``half`` stores the large tensors as float16.

    Raises:
        CheckpointError: The file cannot be read, is not a model, or does not fit
            its configuration.
        ConfigError: The configuration is missing or wrong; ``output`` is ``source``.
        OSError: The result cannot be written.
    """
    source, output = Path(source), Path(output)
    if output.exists() and output.samefile(source):
        raise ConfigError(f"{output} is the model itself; give the result another name with -o")
    content = read_checkpoint(source, keep=("model", "iteration", "learning_rate", "global_step"))
    state = content.get("model", content)
    found = identify(state) if isinstance(state, dict) else None
    if found not in _KINDS or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        seems = f"; it seems to be {found}" if found else ""
        raise CheckpointError(f"{source} is neither a voice model of Glow-SVC nor a diffusion model{seems}")
    kind = _KINDS[found]
    path = Path(config_path) if config_path else source.with_name(_CONFIGS[kind])
    model: nn.Module | None = None
    if config_path or path.is_file():
        make: Callable[[], nn.Module]
        if kind != DIFFUSION:
            config = load_config(path)
            make = partial(network_of(state), config.model)
            config.warn_of_no_names(path)
        else:
            make = partial(Unit2Mel, load_diffusion_config(path))
        model = build_module(make, state, source, f"Use the {_CONFIGS[kind]} saved beside the checkpoint.")
        model.eval()

    state = _strip_checkpoint(state, half)
    known = {name: content[name] for name in _ENTRIES[kind] if _is_number(content.get(name))}
    write_checkpoint(output, {"model": state, **_ENTRIES[kind], **known})
    return CompressedModel(
        path=output,
        kind=kind,
        before=source.stat().st_size,
        after=output.stat().st_size,
        mel_change=_mel_change(model, state, source) if half and model is not None else None,
        config_path=path if model is not None else None,
    )


def _strip_checkpoint(state: dict[str, Tensor], half: bool) -> dict[str, Tensor]:
    """Tensors with their own storage; two names of one tensor stay so."""
    done: dict[object, Tensor] = {}
    slim = {}
    for name, tensor in state.items():
        key = identity(tensor)
        if key not in done:
            done[key] = own_storage(_halved(tensor) if half else tensor)
        slim[name] = done[key]
    return slim


def _halved(tensor: Tensor) -> Tensor:
    """``tensor`` as float16, unless it is small or a value would become infinite."""
    if not tensor.is_floating_point() or tensor.dim() < 2 or tensor.numel() < _SMALLEST:
        return tensor
    halved = tensor.half()
    return halved if torch.equal(halved.isfinite(), tensor.isfinite()) else tensor


@torch.inference_mode()
def _mel_change(model: nn.Module, state: dict[str, Tensor], source: Path) -> tuple[float, float]:
    """Mean and largest change of the mel of a synthetic song with the weights ``state``."""
    before = _synthetic_mel(model)
    load_weights(model, state, source)
    change = (_synthetic_mel(model) - before).abs()
    return float(change.mean()), float(change.max())


def _synthetic_mel(model: nn.Module) -> Tensor:
    """Mel (1, M, N), natural log, of a glide over an octave, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    f0 = 220.0 * 2.0 ** torch.linspace(0, 1, _FRAMES)[None]
    uv, volume, speaker = torch.ones_like(f0), torch.full_like(f0, 0.1), torch.zeros(1, dtype=torch.long)
    if isinstance(model, ReferenceGlow):
        speaker = torch.randn(1, model.config.inter_channels, _FRAMES, generator=generator)
    if isinstance(model, GlowSVC):
        units = torch.randn(1, model.config.ssl_dim, _FRAMES, generator=generator)
        return model.infer(units, f0, uv, speaker, volume)[0]
    assert isinstance(model, Unit2Mel)
    config = model.config.model
    units = torch.randn(1, model.config.data.ssl_dim, _FRAMES, generator=generator)
    if config.use_speaker_encoder:
        speaker = torch.randn(1, config.speaker_encoder_out_channels, generator=generator)
    mel = torch.full((1, model.config.data.n_mels, _FRAMES), -5.0)
    return model.infer(units, f0, volume, speaker, mel=mel, k_step=min(_K_STEP, config.max_steps))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
