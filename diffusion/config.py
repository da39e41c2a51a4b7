"""diffusion.yaml as typed, checked values.

The published projects (so-vits-svc, Glow-SVC, Diffusion-SVC) write nearly the
same file with a few spellings of their own; they are dealt with here, once. A
key that is missing or empty gets the default below, one that is unknown is
ignored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from diffusion.samplers import check_method
from modules.common.errors import ConfigError
from modules.config.section import Section, check, choice, errors_name, number, read_file
from modules.config.shared import MOST_SPEAKERS, ConfigFile, FeatureSection, TrainingSection

_WRITERS = "preprocess_flist_config.py writes configs/diffusion.yaml, train_diff.py a copy beside its models"
_LARGEST_FILE = 100_000  # bytes; YAML takes hundreds of times its size to parse
_MOST_NODES = 50_000
# values of Diffusion-SVC, whose files are known by this key; its "dpm-solver" is the other one
_DIFFUSION_SVC_KEY = "units_forced_mode"
_DIFFUSION_SVC_METHODS = {"dpm-solver": "dpm-solver++"}
_DIFFUSION_SVC_ENCODERS = {"contentvec768l12": "vec768l12", "contentvec": "vec256l9"}


@dataclass(frozen=True, kw_only=True)
class DiffusionDataConfig(FeatureSection):
    """What the model learns from."""

    aliases = {
        "block_size": "hop_length",
        "encoder": "speech_encoder",
        "encoder_out_channels": "ssl_dim",
        _DIFFUSION_SVC_KEY: "unit_interpolate_mode",
    }
    # clips are wavs after step 1, and an encoder knows its own rate and hop
    inert = {"extensions": ["wav"], "encoder_sample_rate": 16000, "encoder_hop_size": 320}

    duration: float = number(2.0, above=0, at_most=3600)  # s, a window; shorter than the shortest clip
    speech_encoder: str = "vec768l12"
    ssl_dim: int = number(768, above=0, at_most=65536)  # channels of its units


@dataclass(frozen=True, kw_only=True)
class DiffusionModelConfig(Section):
    """Sizes of the model, by their published names."""

    section = "model"

    type: str = choice("Diffusion", ("Diffusion", "ReFlow"))
    n_layers: int = number(20, above=0, at_most=256)
    n_chans: int = number(512, at_least=4, at_most=65536)
    n_hidden: int = number(256, above=0, at_most=65536)  # channels of the condition
    use_pitch_aug: bool = True
    timesteps: int = number(1000, above=0, at_most=10**6)
    k_step_max: int = number(0, at_least=0)  # steps it is trained for; 0: all
    n_spk: int = number(1, above=0, at_most=MOST_SPEAKERS)
    use_speaker_encoder: bool = False  # Diffusion-SVC: speakers are embeddings, not ids
    speaker_encoder_out_channels: int = number(256, above=0, at_most=65536)
    t_distribution: str = choice("uniform", ("uniform", "logit_normal"))  # of times: diffusion/reflow.py

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_chans % 2:
            raise ConfigError(f"model.n_chans must be an even number from 4 on, not {self.n_chans}")
        # equal means the same as 0, and is how Diffusion-SVC writes it
        if self.k_step_max > self.timesteps:
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
class VocoderConfig(Section):
    """The vocoder that renders samples while training."""

    section = "vocoder"

    type: str = "nsf-hifigan"
    ckpt: str = "pretrain/nsf_hifigan/model"


@dataclass(frozen=True, kw_only=True)
class InferConfig(Section):
    """How a mel is sampled."""

    section = "infer"

    speedup: int = number(10, at_least=0)  # schedule steps per sampler step; up to 1: ancestral sampling
    method: str = ""  # see diffusion/samplers; empty: the default of the model's type


@dataclass(frozen=True, kw_only=True)
class EnvConfig(Section):
    """Where a run writes to."""

    section = "env"

    expdir: str = "logs/44k/diffusion"
    gpu_id: int = number(0, at_least=0, at_most=1024)


@dataclass(frozen=True, kw_only=True)
class DiffusionTrainConfig(TrainingSection):
    """How the model is trained."""

    num_workers: int = number(2, at_least=0, at_most=1024)
    amp_dtype: str = choice("fp32", ("fp32", "fp16", "bf16"))
    batch_size: int = number(48, above=0, at_most=65536)
    cache_all_data: bool = True
    cache_device: str = choice("cpu", ("cpu", "cuda"))
    cache_fp16: bool = True
    epochs: int = number(100000, above=0)
    interval_log: int = number(10, above=0)  # steps, like the next two
    interval_val: int = number(2000, above=0)
    interval_force_save: int = number(5000, above=0)
    lr: float = number(1e-4, above=0)
    save_opt: bool = False  # without the optimizer a file is a third as large, but not resumed exactly


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig(ConfigFile):
    """All of diffusion.yaml. Speaker ids count from 0; those of Diffusion-SVC from 1: take one off."""

    data: DiffusionDataConfig = field(default_factory=DiffusionDataConfig)
    model: DiffusionModelConfig = field(default_factory=DiffusionModelConfig)
    vocoder: VocoderConfig = field(default_factory=VocoderConfig)
    infer: InferConfig = field(default_factory=InferConfig)
    env: EnvConfig = field(default_factory=EnvConfig)
    train: DiffusionTrainConfig = field(default_factory=DiffusionTrainConfig)
    device: str = ""  # where to run; empty: detected automatically

    @property
    def n_speakers(self) -> int:
        """Speakers of the model."""
        return self.model.n_spk


def parse_diffusion_config(values: Mapping[str, Any]) -> DiffusionConfig:
    """Typed configuration from what a diffusion.yaml holds.

    Raises:
        ConfigError: A value has the wrong type or makes no sense; names the key.
    """
    if not isinstance(values, Mapping):
        raise ConfigError("a diffusion configuration must be a table of sections")
    values = _of_diffusion_svc({name: value for name, value in values.items() if value is not None})
    device = check(values.get("device", ""), str, "device")
    config = DiffusionConfig(**DiffusionConfig.parse_sections(values, yaml=True), device=device)
    try:
        check_method(config.infer.method, config.model.type)
    except ConfigError as error:
        raise ConfigError(f"infer.method: {error}") from None
    config.check_speakers("model.n_spk")
    return config


def _of_diffusion_svc(values: dict[str, Any]) -> dict[str, Any]:
    """Sections with the values that Diffusion-SVC calls otherwise."""
    data, infer = values.get("data"), values.get("infer")
    if not isinstance(data, Mapping) or _DIFFUSION_SVC_KEY not in data:
        return values
    encoder = data.get("encoder")
    ours = {**values, "data": {**data, "encoder": _renamed(encoder, _DIFFUSION_SVC_ENCODERS)}}
    if isinstance(infer, Mapping):
        method = infer.get("method")
        ours["infer"] = {**infer, "method": _renamed(method, _DIFFUSION_SVC_METHODS)}
    return ours


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    return names.get(value, value) if isinstance(value, str) else value


def _parse_yaml(text: str) -> Any:
    """Content of a YAML text; raises ValueError if it is none, or unfolds to more than ``_MOST_NODES``."""
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _unfolded(node, {}) > _MOST_NODES:
            raise ValueError("its aliases unfold to more than a configuration has")
        return loader.construct_document(node)
    # what its constructors raise of a text that is no !!bool, !!timestamp or !!int
    except (yaml.YAMLError, LookupError, AttributeError, TypeError) as error:
        raise ValueError(error) from None


def _unfolded(node: yaml.Node, known: dict[int, float]) -> float:
    """Number of nodes below ``node`` with every alias as a copy; infinite if one holds itself."""
    if id(node) not in known:
        known[id(node)] = math.inf
        children = node.value if isinstance(node, yaml.CollectionNode) else ()
        pairs = children if isinstance(node, yaml.MappingNode) else [(child,) for child in children]
        known[id(node)] = 1 + sum(_unfolded(child, known) for pair in pairs for child in pair)
    return known[id(node)]


def read_yaml(path: str | Path) -> Any:
    """Content of a YAML file, as it is; raises ConfigError if it is missing, too large or not YAML."""
    return read_file(path, _parse_yaml, "YAML", _WRITERS, _LARGEST_FILE)


def load_diffusion_config(path: str | Path) -> DiffusionConfig:
    """Read a diffusion.yaml.

    Raises:
        ConfigError: The file is missing or not YAML, or see :func:`parse_diffusion_config`.
    """
    values = read_yaml(path)
    with errors_name(path):
        return parse_diffusion_config(values)
