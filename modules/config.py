"""config.json as typed, checked values.

Published configurations carry keys that nothing reads any more, and a few old
spellings; both are dealt with here, once, so the code sees one name per thing.
Keys that are missing get the defaults below, keys that are unknown are ignored.
"""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from modules.common.errors import ConfigError
from modules.common.metrics import BEST_BY, SCORED

_WHO_WRITES = "preprocess_flist_config.py writes configs/config.json, train.py a copy beside its models"
# spelling in the file -> our name, by section
LEGACY_KEYS = {
    "data": {
        "filter_length": "n_fft",
        "n_mel_channels": "n_mels",
        "mel_fmin": "f_min",
        "mel_fmax": "f_max",
    },
    "model": {"use_crn_pre ": "use_crn_pre"},  # a published template has the trailing blank
}
SCHEDULERS = ("noam", "cosine", "step")
UNIT_MODES = ("left", "nearest")  # see modules/dsp/align.py


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a model is trained."""

    log_interval: int = 200  # steps
    eval_interval: int = 800  # steps
    seed: int = 1234
    epochs: int = 10000
    max_steps: int = 0  # 0: until the epochs are done
    learning_rate: float = 0.7  # factor of the noam schedule, peak rate of cosine, first rate of step
    scheduler: str = "noam"
    warmup_steps: int = 4000  # of noam and cosine
    decay_step: int = 100000  # steps after which the step schedule multiplies the rate by gamma, each time
    gamma: float = 0.5
    betas: tuple[float, float] = (0.8, 0.99)
    eps: float = 1e-9
    weight_decay: float = 0.0
    batch_size: int = 6  # windows a process computes on at once
    accumulate_steps: int = 1  # such batches per step of the optimizer: a larger batch in the same memory
    fp16_run: bool = False
    half_type: str = "fp16"
    max_speclen: int = 512  # frames of a training window
    c_lf0: float = 1.0  # weight of the F0 predictor's loss
    ema_decay: float = 0.0  # 0: the weights as they are; else their running mean is validated and saved
    perturb_ratio: float = 0.8  # share of items whose units come from a perturbed copy, where there are any
    mel_noise: float = 0.05  # deviation of noise on the mel, natural log: see training/data/dataset.py
    unit_noise: float = 0.0  # deviation of noise on the units: small data sets are learnt by heart without
    keep_ckpts: int = 3  # newest ones; 0: all
    force_save_interval: int = 0  # steps; checkpoints of its multiples stay for ever. 0: none do
    save_opt: bool = (
        True  # without the optimizer checkpoints are a third as large, but none is resumed exactly
    )
    best_by: str = "val_loss"  # which validation number G_best.pth is chosen by
    score_every: int = 0  # validations between two that the judges hear too: see docs/training.md. 0: never
    patience: int = 0  # validations without a new best after which the run ends; 0: never
    compile: bool = False  # torch.compile: slow to start
    port: str = "8001"  # where the processes of one machine meet
    num_workers: int = -1  # processes that read clips for one device; -1: 4 for a GPU, none for a CPU
    all_in_mem: bool = False
    vol_aug: bool = False

    def __post_init__(self) -> None:
        if self.scheduler not in SCHEDULERS:
            raise ConfigError(f"train.scheduler {self.scheduler!r} is unknown; use {' or '.join(SCHEDULERS)}")
        if self.half_type not in ("fp16", "bf16"):
            raise ConfigError(f"train.half_type {self.half_type!r} is unknown; use fp16 or bf16")
        if self.best_by not in BEST_BY:
            raise ConfigError(f"train.best_by {self.best_by!r} is unknown; use {', '.join(BEST_BY)}")
        if self.best_by in SCORED and self.score_every != 1:
            raise ConfigError(f"train.best_by {self.best_by} needs train.score_every 1")
        if self.scheduler == "cosine" and not self.max_steps:
            raise ConfigError("train.scheduler cosine needs train.max_steps, the step where it ends")
        _positive(self, "train", "log_interval", "eval_interval", "epochs", "batch_size", "max_speclen")
        _positive(self, "train", "accumulate_steps", "learning_rate", "warmup_steps", "decay_step", "gamma")
        _not_negative(self, "train", "max_steps", "keep_ckpts", "force_save_interval", "patience")
        _not_negative(self, "train", "score_every", "unit_noise")
        for name in ("ema_decay", "perturb_ratio"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"train.{name} must be between 0 and 1, not {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Analysis settings. The vocoder was trained with these: change both or neither."""

    training_files: str = "filelists/train.txt"
    validation_files: str = "filelists/val.txt"
    sampling_rate: int = 44100  # Hz
    n_fft: int = 2048  # samples
    hop_length: int = 512  # samples per frame
    win_length: int = 2048  # samples
    n_mels: int = 128
    f_min: float = 40.0  # Hz
    f_max: float = 16000.0  # Hz
    unit_interpolate_mode: str = "nearest"

    def __post_init__(self) -> None:
        if self.unit_interpolate_mode not in UNIT_MODES:
            raise ConfigError(
                f"data.unit_interpolate_mode {self.unit_interpolate_mode!r} is unknown; "
                f"use {' or '.join(UNIT_MODES)}"
            )
        _positive(self, "data", "sampling_rate", "n_fft", "hop_length", "win_length", "n_mels", "f_max")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Sizes of the Glow model, by their published names."""

    inter_channels: int = 128  # mel bins
    hidden_channels: int = 192
    filter_channels: int = 768
    n_heads: int = 2
    n_layers: int = 6
    kernel_size: int = 3
    p_dropout: float = 0.0
    n_flow_block_layer: int = 12
    n_flow_layer: int = 3
    n_sqz: int = 2
    gin_channels: int = 768
    ssl_dim: int = 768
    n_speakers: int = 200
    vocoder_name: str = "nsf-hifigan"
    speech_encoder: str = "vec768l12"
    vol_embedding: bool = False
    use_depthwise_conv: bool = False
    flow_share_parameter: bool = False
    use_automatic_f0_prediction: bool = True
    use_crn_pre: bool = False

    def __post_init__(self) -> None:
        _positive(
            self, "model", "inter_channels", "hidden_channels", "n_heads", "n_sqz", "ssl_dim", "n_speakers"
        )
        if self.hidden_channels % self.n_heads:
            raise ConfigError(
                f"model.hidden_channels {self.hidden_channels} is no multiple of n_heads {self.n_heads}"
            )
        if self.inter_channels * self.n_sqz % 4:
            raise ConfigError("model.inter_channels × n_sqz must be a multiple of 4, the groups of the flow")


@dataclass(frozen=True, kw_only=True)
class Config:
    """All of config.json.

    Attributes:
        spk: Speaker ids by name.
        f0_range: Per speaker the 5th, 50th and 95th percentile of the voiced F0
            of the training clips, Hz. Written beside a model by train.py.
    """

    train: TrainConfig = field(default_factory=TrainConfig)
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    spk: dict[str, int] = field(default_factory=dict)
    f0_range: dict[str, tuple[float, float, float]] = field(default_factory=dict)

    def speaker_id(self, speaker: str | int) -> int:
        """Return the id of a speaker's name or id; raises ConfigError that lists the names."""
        if speaker in self.spk:
            return self.spk[str(speaker)]
        number = int(speaker) if str(speaker).isdecimal() else -1
        if number in self.spk.values() or (not self.spk and 0 <= number < self.model.n_speakers):
            return number
        names = ", ".join(f"{name} ({number})" for name, number in self.spk.items())
        raise ConfigError(f"the model has no speaker {speaker!r}; it knows: {names or 'no names'}")

    def speaker_name(self, speaker: str | int) -> str:
        """Return the name of a speaker's name or id."""
        number = self.speaker_id(speaker)
        return next((name for name, known in self.spk.items() if known == number), str(number))


def _not_negative(section: Any, where: str, *names: str) -> None:
    for name in names:
        if getattr(section, name) < 0:
            raise ConfigError(f"{where}.{name} must not be below 0, not {getattr(section, name)}")


def _positive(section: Any, where: str, *names: str) -> None:
    for name in names:
        if getattr(section, name) <= 0:
            raise ConfigError(f"{where}.{name} must be above 0, not {getattr(section, name)}")


def _checked(value: Any, kind: Any, where: str) -> Any:
    """Return ``value`` as ``kind``; only conversions that lose nothing are made."""
    if get_origin(kind) is tuple:
        kinds = get_args(kind)
        if isinstance(value, (list, tuple)) and len(value) == len(kinds):
            return tuple(_checked(v, k, where) for v, k in zip(value, kinds, strict=True))
    elif kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    elif kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    elif where == "train.port" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    elif isinstance(value, kind) and not (isinstance(value, bool) and kind is not bool):
        return value
    name = kind.__name__ if not isinstance(kind, types.GenericAlias) else str(kind)
    raise ConfigError(f"{where} must be of type {name}, not {value!r}")


T = TypeVar("T", TrainConfig, DataConfig, ModelConfig)


def _section(cls: type[T], name: str, values: Any) -> T:
    if not isinstance(values, Mapping):
        raise ConfigError(f"section {name!r} must be a table of settings")
    legacy = LEGACY_KEYS.get(name, {})
    named = {legacy.get(key, key): value for key, value in values.items()}
    kinds = get_type_hints(cls)
    return cls(
        **{
            f.name: _checked(named[f.name], kinds[f.name], f"{name}.{f.name}")
            for f in fields(cls)
            if f.name in named
        }
    )


def parse_config(values: Mapping[str, Any]) -> Config:
    """Return the typed configuration of what a config.json holds.

    Raises:
        ConfigError: A value has the wrong type or makes no sense; names the key.
    """
    if not isinstance(values, Mapping):
        raise ConfigError("a configuration must be a JSON object")
    speakers = values.get("spk", {})
    if not isinstance(speakers, Mapping):
        raise ConfigError("section 'spk' must give an id for each name")
    spk = {str(name): _checked(number, int, f"spk.{name}") for name, number in speakers.items()}
    ranges = {
        str(name): _checked(numbers, tuple[float, float, float], f"f0_range.{name}")
        for name, numbers in values.get("f0_range", {}).items()
    }
    config = Config(
        train=_section(TrainConfig, "train", values.get("train", {})),
        data=_section(DataConfig, "data", values.get("data", {})),
        model=_section(ModelConfig, "model", values.get("model", {})),
        spk=spk,
        f0_range=ranges,
    )
    if config.model.inter_channels != config.data.n_mels:
        raise ConfigError(
            f"model.inter_channels is {config.model.inter_channels}, but data.n_mel_channels is "
            f"{config.data.n_mels}: both are the number of mel bins"
        )
    for name, number in spk.items():
        if not 0 <= number < config.model.n_speakers:
            raise ConfigError(f"spk.{name} is {number}, but model.n_speakers is {config.model.n_speakers}")
    return config


def read_json(path: str | Path) -> dict[str, Any]:
    """Return what a JSON file holds, as it is.

    Raises:
        ConfigError: The file is missing, unreadable or no JSON object.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist; {_WHO_WRITES}") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no JSON object")
    return values


def load_config(path: str | Path) -> Config:
    """Read a config.json.

    Raises:
        ConfigError: See :func:`read_json` and :func:`parse_config`.
    """
    values = read_json(path)
    try:
        return parse_config(values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
