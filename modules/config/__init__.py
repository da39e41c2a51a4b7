"""config.json as typed, checked values.

Published configurations carry keys that nothing reads any more, and a few old
spellings; both are dealt with here, once, so the code sees one name per thing.
Keys that are missing get the defaults below, keys that are unknown are ignored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from modules.common.errors import ConfigError
from modules.common.metrics import BEST_BY, SCORED
from modules.common.text import normalize_name
from modules.config.section import Bounds, Section, check, choice, errors_name, number, read_file
from modules.config.shared import MOST_SPEAKERS, ConfigFile, FeatureSection, TrainingSection
from modules.config.shared import UNIT_MODES as UNIT_MODES

_WRITERS = "preprocess_flist_config.py writes configs/config.json, train.py a copy beside its models"
FINE_TUNED = ("learning_rate", "perturb_ratio", "unit_noise")  # settings that a base model asks to be others
_F0 = Bounds(at_least=0, at_most=100_000)  # Hz


@dataclass(frozen=True, kw_only=True)
class TrainConfig(TrainingSection):
    """How a model is trained."""

    inert = {"c_mel": 45, "c_kl": 1.0}

    log_interval: int = number(200, above=0)  # steps
    eval_interval: int = number(800, above=0)  # steps
    epochs: int = number(10000, above=0)
    learning_rate: float = number(0.7, above=0)  # factor of noam, peak rate of cosine, first rate of step
    scheduler: str = choice("noam", ("step", "noam", "cosine"))
    warmup_steps: int = number(4000, above=0)  # of noam and cosine
    betas: tuple[float, float] = number((0.8, 0.99), at_least=0, below=1)
    eps: float = number(1e-9, above=0)
    batch_size: int = number(6, above=0, at_most=65536)  # windows a process computes on at once
    fp16_run: bool = False
    half_type: str = choice("fp16", ("fp16", "bf16"))
    max_speclen: int = number(512, above=0, at_most=2**20)  # frames of a training window
    c_lf0: float = number(1.0, at_least=0)  # weight of the F0 predictor's loss
    mel_noise: float = number(0.05, at_least=0)  # deviation of noise on the log-mel: training/data/dataset.py
    force_save_interval: int = number(0, at_least=0)  # steps; checkpoints of its multiples are kept. 0: none
    save_opt: bool = True  # without the optimizer a checkpoint is a third as large, but not resumed exactly
    best_by: str = choice("val_loss", BEST_BY)  # which validation number G_best.pth is chosen by
    score_every: int = number(0, at_least=0)  # validations per one with scores, docs/training.md; 0: never
    num_workers: int = number(-1, at_least=-1, at_most=1024)  # per device; -1: 4 for a GPU, none for a CPU
    all_in_mem: bool = False
    vol_aug: bool = False  # random loudness; only of a model that is told it, with model.vol_embedding

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.best_by in SCORED and self.score_every != 1:
            raise ConfigError(f"train.best_by {self.best_by} needs train.score_every 1")
        if self.scheduler == "cosine" and not self.max_steps:
            raise ConfigError("train.scheduler cosine needs train.max_steps, the step where it ends")


@dataclass(frozen=True, kw_only=True)
class DataConfig(FeatureSection):
    """Analysis settings. The vocoder was trained with these: change both or neither."""

    aliases = {
        "filter_length": "n_fft",
        "n_mel_channels": "n_mels",
        "mel_fmin": "f_min",
        "mel_fmax": "f_max",
    }

    n_fft: int = number(2048, above=0, at_most=2**15)  # samples
    win_length: int = number(2048, above=0, at_most=2**15)  # samples
    f_min: float = number(40.0, at_least=0, at_most=384_000)  # Hz
    f_max: float = number(16000.0, above=0, at_most=384_000)  # Hz

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.f_min >= self.f_max:
            raise ConfigError(f"data.mel_fmin {self.f_min:g} is not below data.mel_fmax, {self.f_max:g}")


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Section):
    """Sizes of the Glow model, by their published names."""

    section = "model"
    aliases = {"use_crn_pre ": "use_crn_pre"}  # a published template has the trailing blank

    inter_channels: int = number(128, above=0, at_most=512)  # mel bins
    hidden_channels: int = number(192, above=0, at_most=65536)
    filter_channels: int = number(768, above=0, at_most=65536)
    n_heads: int = number(2, above=0, at_most=1024)
    n_layers: int = number(6, above=0, at_most=64)
    kernel_size: int = number(3, above=0, at_most=1024)
    p_dropout: float = number(0.0, at_least=0, below=1)
    n_flow_block_layer: int = number(12, above=0, at_most=64)
    n_flow_layer: int = number(3, above=0, at_most=64)
    n_sqz: int = number(2, above=0, at_most=1024)
    gin_channels: int = number(768, above=0, at_most=65536)
    ssl_dim: int = number(768, above=0, at_most=65536)
    n_speakers: int = number(200, above=0, at_most=MOST_SPEAKERS)
    vocoder_name: str = "nsf-hifigan"
    speech_encoder: str = "vec768l12"
    vol_embedding: bool = False
    use_depthwise_conv: bool = False
    flow_share_parameter: bool = False
    use_automatic_f0_prediction: bool = True
    use_crn_pre: bool = False
    prenet_channels: int = number(0, at_least=0, at_most=65536)  # width of Prenet; 0: there is none
    prenet_layers: int = number(6, above=0, at_most=64)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden_channels % self.n_heads:
            raise ConfigError(
                f"model.hidden_channels {self.hidden_channels} is not a multiple of n_heads {self.n_heads}"
            )
        if self.inter_channels * self.n_sqz % 4:
            raise ConfigError("model.inter_channels × n_sqz must be a multiple of 4, the groups of the flow")


@dataclass(frozen=True, kw_only=True)
class Config(ConfigFile):
    """All of config.json."""

    train: TrainConfig = field(default_factory=TrainConfig)
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    # per speaker the 5th, 50th and 95th percentile of the training clips' voiced F0, Hz; from train.py
    f0_range: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    fine_tuning: dict[str, Any] = field(default_factory=dict)  # of train, in a run from a base model

    def fine_tuned(self) -> Config:
        """The configuration of a run that started from a base model."""
        return replace(self, train=replace(self.train, **self.fine_tuning))

    @property
    def n_speakers(self) -> int:
        """Rows of the model's speaker tables."""
        return self.model.n_speakers


def _fine_tuning(values: Any) -> dict[str, Any]:
    if not isinstance(values, Mapping):
        raise ConfigError("section 'fine_tuning' must be a table of settings")
    if others := [str(key) for key in values if key not in FINE_TUNED]:
        raise ConfigError(f"fine_tuning.{others[0]} is unknown; it may hold {', '.join(FINE_TUNED)}")
    with errors_name("fine_tuning"):
        train = TrainConfig.parse(values)
    return {name: getattr(train, name) for name in FINE_TUNED if name in values}


def parse_config(values: Mapping[str, Any]) -> Config:
    """Typed configuration from what a config.json holds.

    Raises:
        ConfigError: A value has the wrong type or makes no sense; names the key.
    """
    if not isinstance(values, Mapping):
        raise ConfigError("a configuration must be a JSON object")
    ranges = values.get("f0_range", {})
    if not isinstance(ranges, Mapping):
        raise ConfigError("section 'f0_range' must give three frequencies for each name")
    config = Config(
        **Config.parse_sections(values),
        fine_tuning=_fine_tuning(values.get("fine_tuning", {})),
        f0_range={
            normalize_name(str(name)): check(numbers, tuple[float, float, float], f"f0_range.{name}", _F0)
            for name, numbers in ranges.items()
        },
    )
    if config.model.inter_channels != config.data.n_mels:
        raise ConfigError(
            f"model.inter_channels is {config.model.inter_channels}, but data.n_mel_channels is "
            f"{config.data.n_mels}: both are the number of mel bins"
        )
    config.check_speakers("model.n_speakers")
    return config


def read_json(path: str | Path) -> dict[str, Any]:
    """Content of a JSON file, as it is.

    Raises:
        ConfigError: The file is missing, unreadable or not a JSON object.
    """
    values = read_file(path, json.loads, "JSON", _WRITERS)
    if not isinstance(values, dict):
        raise ConfigError(f"{path} is not a JSON object")
    return values


def load_config(path: str | Path) -> Config:
    """Read a config.json.

    Raises:
        ConfigError: See :func:`read_json` and :func:`parse_config`.
    """
    values = read_json(path)
    with errors_name(path):
        return parse_config(values)
