"""diffusion.yaml as typed, checked values.

The published projects (so-vits-svc, Glow-SVC, Diffusion-SVC) write nearly the
same file with a few spellings of their own; they are dealt with here, once. A
key that is missing or empty gets the default below, one that is unknown is
ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import yaml

from diffusion.samplers import check_method
from modules.common.errors import ConfigError
from modules.config import UNIT_MODES, Config, ModelConfig, _checked, _not_negative, _positive

_WHO_WRITES = (
    "preprocess_flist_config.py writes configs/diffusion.yaml, train_diff.py a copy beside its models"
)
MODEL_TYPES = ("Diffusion", "ReFlow")
T_DISTRIBUTIONS = ("uniform", "logit_normal")
# spelling in the file -> our name, by section
LEGACY_KEYS = {
    "data": {
        "block_size": "hop_length",
        "encoder": "speech_encoder",
        "encoder_out_channels": "ssl_dim",
        "encoder_hop_size": "encoder_hop_length",
        "units_forced_mode": "unit_interpolate_mode",  # Diffusion-SVC
    },
}
# values of Diffusion-SVC, whose files are known by this key; its "dpm-solver" is the other one
_DIFFUSION_SVC_KEY = "units_forced_mode"
_DIFFUSION_SVC_METHODS = {"dpm-solver": "dpm-solver++"}
_DIFFUSION_SVC_ENCODERS = {"contentvec768l12": "vec768l12", "contentvec": "vec256l9"}


@dataclass(frozen=True, kw_only=True)
class DiffusionDataConfig:
    """What the model learns from."""

    sampling_rate: int = 44100  # Hz
    hop_length: int = 512  # samples per frame
    n_mels: int = 128  # the vocoder's
    duration: float = 2.0  # s, a training window; shorter than the shortest clip
    speech_encoder: str = "vec768l12"
    ssl_dim: int = 768  # channels of its units
    encoder_sample_rate: int = 16000  # Hz
    encoder_hop_length: int = 320  # samples per unit
    training_files: str = "filelists/train.txt"
    validation_files: str = "filelists/val.txt"
    extensions: tuple[str, ...] = ("wav",)
    unit_interpolate_mode: str = "nearest"

    def __post_init__(self) -> None:
        if self.unit_interpolate_mode not in UNIT_MODES:
            raise ConfigError(
                f"data.unit_interpolate_mode {self.unit_interpolate_mode!r} is unknown; "
                f"use {' or '.join(UNIT_MODES)}"
            )
        _positive(self, "data", "sampling_rate", "hop_length", "n_mels", "duration", "ssl_dim")
        _positive(self, "data", "encoder_sample_rate", "encoder_hop_length")


@dataclass(frozen=True, kw_only=True)
class DiffusionModelConfig:
    """Sizes of the model, by their published names."""

    type: str = "Diffusion"
    n_layers: int = 20
    n_chans: int = 512
    n_hidden: int = 256  # channels of the condition
    use_pitch_aug: bool = True
    timesteps: int = 1000
    k_step_max: int = 0  # steps it is trained for; 0: all
    n_spk: int = 1
    use_speaker_encoder: bool = False  # Diffusion-SVC: voices are embeddings, not ids
    speaker_encoder_out_channels: int = 256
    t_distribution: str = "uniform"  # of ReFlow's training times; see diffusion/reflow.py

    def __post_init__(self) -> None:
        if self.type not in MODEL_TYPES:
            raise ConfigError(f"model.type {self.type!r} is unknown; use {' or '.join(MODEL_TYPES)}")
        if self.t_distribution not in T_DISTRIBUTIONS:
            raise ConfigError(
                f"model.t_distribution {self.t_distribution!r} is unknown; use {' or '.join(T_DISTRIBUTIONS)}"
            )
        _positive(self, "model", "n_layers", "n_hidden", "timesteps", "n_spk")
        _positive(self, "model", "speaker_encoder_out_channels")
        if self.n_chans < 4 or self.n_chans % 2:
            raise ConfigError(f"model.n_chans must be an even number from 4 on, not {self.n_chans}")
        # equal says the same as 0, and files of Diffusion-SVC say it so
        if not 0 <= self.k_step_max <= self.timesteps:
            raise ConfigError(
                f"model.k_step_max must be below model.timesteps, {self.timesteps}, or 0 for all of them, "
                f"not {self.k_step_max}"
            )

    @property
    def max_steps(self) -> int:
        """Steps that the model is trained for."""
        return self.k_step_max or self.timesteps

    @property
    def shallow_only(self) -> bool:
        """Whether the model can only refine a mel."""
        return self.max_steps < self.timesteps


@dataclass(frozen=True, kw_only=True)
class VocoderConfig:
    """The vocoder that renders samples while training."""

    type: str = "nsf-hifigan"
    ckpt: str = "pretrain/nsf_hifigan/model"


@dataclass(frozen=True, kw_only=True)
class InferConfig:
    """How a mel is sampled."""

    speedup: int = 10  # steps of the schedule per step of the method; up to 1: the plain ancestral sampler
    method: str = ""  # see diffusion/samplers; empty: the best for the model's type

    def __post_init__(self) -> None:
        if self.speedup < 0:
            raise ConfigError(f"infer.speedup must not be below 0, not {self.speedup}")


@dataclass(frozen=True, kw_only=True)
class EnvConfig:
    """Where a run writes to."""

    expdir: str = "logs/44k/diffusion"
    gpu_id: int = 0


@dataclass(frozen=True, kw_only=True)
class DiffusionTrainConfig:
    """How the model is trained."""

    num_workers: int = 2
    amp_dtype: str = "fp32"
    batch_size: int = 48
    cache_all_data: bool = True
    cache_device: str = "cpu"
    cache_fp16: bool = True
    epochs: int = 100000
    interval_log: int = 10  # steps, like the next two
    interval_val: int = 2000
    interval_force_save: int = 5000
    lr: float = 1e-4
    decay_step: int = 100000
    gamma: float = 0.5  # what lr is multiplied with, every decay_step
    weight_decay: float = 0.0
    save_opt: bool = False  # without the optimizer files are a third as large, but none is resumed exactly
    # of our own; as in config.json, see modules/config.py
    perturb_ratio: float = 0.8
    unit_noise: float = 0.0
    seed: int = 1234
    max_steps: int = 0
    accumulate_steps: int = 1
    ema_decay: float = 0.0
    keep_ckpts: int = 3  # newest ones, beside those of interval_force_save
    patience: int = 0
    compile: bool = False
    port: str = "8001"

    def __post_init__(self) -> None:
        if self.cache_device not in ("cpu", "cuda"):
            raise ConfigError(f"train.cache_device {self.cache_device!r} is unknown; use cpu or cuda")
        if self.amp_dtype not in ("fp32", "fp16", "bf16"):
            raise ConfigError(f"train.amp_dtype {self.amp_dtype!r} is unknown; use fp32, fp16 or bf16")
        _positive(self, "train", "batch_size", "epochs", "interval_log", "interval_val")
        _positive(self, "train", "interval_force_save", "lr", "decay_step", "gamma", "accumulate_steps")
        _not_negative(self, "train", "num_workers", "weight_decay", "max_steps", "keep_ckpts", "patience")


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    """All of diffusion.yaml.

    Attributes:
        device: Where to run; empty: the best there is.
        spk: Speaker ids by name, from 0. (Diffusion-SVC counts from 1: take one off.)
    """

    data: DiffusionDataConfig = field(default_factory=DiffusionDataConfig)
    model: DiffusionModelConfig = field(default_factory=DiffusionModelConfig)
    vocoder: VocoderConfig = field(default_factory=VocoderConfig)
    infer: InferConfig = field(default_factory=InferConfig)
    env: EnvConfig = field(default_factory=EnvConfig)
    train: DiffusionTrainConfig = field(default_factory=DiffusionTrainConfig)
    device: str = ""
    spk: dict[str, int] = field(default_factory=dict)

    def speaker_id(self, speaker: str | int) -> int:
        """Return the id of a speaker's name or id; raises ConfigError that lists the names."""
        return Config(model=ModelConfig(n_speakers=self.model.n_spk), spk=self.spk).speaker_id(speaker)


def _value(value: Any, kind: Any, where: str) -> Any:
    if kind == tuple[str, ...]:
        entries = value if isinstance(value, (list, tuple)) else [value]
        return tuple(_checked(entry, str, where) for entry in entries)
    if kind is float and isinstance(value, str):  # YAML 1.1 takes 1e-4, without a dot, for text
        try:
            return float(value)
        except ValueError:
            pass
    return _checked(value, kind, where)


T = TypeVar(
    "T",
    DiffusionDataConfig,
    DiffusionModelConfig,
    VocoderConfig,
    InferConfig,
    EnvConfig,
    DiffusionTrainConfig,
)


def _section(cls: type[T], name: str, values: Any) -> T:
    if not isinstance(values, Mapping):
        raise ConfigError(f"section {name!r} must be a table of settings")
    legacy = LEGACY_KEYS.get(name, {})
    named = {legacy.get(key, key): value for key, value in values.items() if value is not None}
    kinds = get_type_hints(cls)
    return cls(
        **{
            f.name: _value(named[f.name], kinds[f.name], f"{name}.{f.name}")
            for f in fields(cls)
            if f.name in named
        }
    )


def parse_diffusion_config(values: Mapping[str, Any]) -> DiffusionConfig:
    """Return the typed configuration of what a diffusion.yaml holds.

    Raises:
        ConfigError: A value has the wrong type or makes no sense; names the key.
    """
    if not isinstance(values, Mapping):
        raise ConfigError("a diffusion configuration must be a table of sections")
    values = _our_values({name: value for name, value in values.items() if value is not None})
    speakers = values.get("spk", {})
    if not isinstance(speakers, Mapping):
        raise ConfigError("section 'spk' must give an id for each name")
    config = DiffusionConfig(
        data=_section(DiffusionDataConfig, "data", values.get("data", {})),
        model=_section(DiffusionModelConfig, "model", values.get("model", {})),
        vocoder=_section(VocoderConfig, "vocoder", values.get("vocoder", {})),
        infer=_section(InferConfig, "infer", values.get("infer", {})),
        env=_section(EnvConfig, "env", values.get("env", {})),
        train=_section(DiffusionTrainConfig, "train", values.get("train", {})),
        device=_value(values.get("device", ""), str, "device"),
        spk={str(name): _value(number, int, f"spk.{name}") for name, number in speakers.items()},
    )
    try:
        check_method(config.infer.method, config.model.type)
    except ConfigError as error:
        raise ConfigError(f"infer.method: {error}") from None
    for name, number in config.spk.items():
        if not 0 <= number < config.model.n_spk:
            raise ConfigError(f"spk.{name} is {number}, but model.n_spk is {config.model.n_spk}")
    return config


def _our_values(values: dict[str, Any]) -> dict[str, Any]:
    """Return the sections with what Diffusion-SVC calls otherwise."""
    data, infer = values.get("data"), values.get("infer")
    if not isinstance(data, Mapping) or _DIFFUSION_SVC_KEY not in data:
        return values
    encoder = data.get("encoder")
    ours = {**values, "data": {**data, "encoder": _DIFFUSION_SVC_ENCODERS.get(str(encoder), encoder)}}
    if isinstance(infer, Mapping):
        method = infer.get("method")
        ours["infer"] = {**infer, "method": _DIFFUSION_SVC_METHODS.get(str(method), method)}
    return ours


def load_diffusion_config(path: str | Path) -> DiffusionConfig:
    """Read a diffusion.yaml.

    Raises:
        ConfigError: The file is missing or no YAML, or see :func:`parse_diffusion_config`.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist; {_WHO_WRITES}") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path} cannot be read as YAML: {reason}") from None
    try:
        return parse_diffusion_config(values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
