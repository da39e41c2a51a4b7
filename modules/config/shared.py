"""What config.json and diffusion.yaml have in common: features, training and speakers."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from modules.common.errors import ConfigError
from modules.common.text import is_line, normalize_name
from modules.config.section import Section, check, choice, field_types, number

MOST_SPEAKERS = 2**16
UNIT_MODES = ("left", "nearest", "time")  # see modules/dsp/align.py
T = TypeVar("T", bound="ConfigFile")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FeatureSection(Section):
    """Section ``data``: where the clips are, and how a mel is analysed."""

    section = "data"

    training_files: str = "filelists/train.txt"
    validation_files: str = "filelists/val.txt"
    sampling_rate: int = number(44100, above=0, at_most=768_000)  # Hz
    hop_length: int = number(512, at_least=16, at_most=2**15)  # samples per frame
    n_mels: int = number(128, above=0, at_most=512)
    unit_interpolate_mode: str = choice("nearest", UNIT_MODES)


@dataclass(frozen=True, kw_only=True)
class TrainingSection(Section):
    """Section ``train``: how a model is trained."""

    section = "train"

    seed: int = number(1234, at_least=0, at_most=2**63 - 1)  # what numpy and torch both take
    max_steps: int = number(0, at_least=0)  # 0: until the epochs are done
    decay_step: int = number(100000, above=0)  # steps after which the rate is multiplied by gamma, each time
    gamma: float = number(0.5, above=0)
    weight_decay: float = number(0.0, at_least=0)
    accumulate_steps: int = number(1, above=0)  # batches per optimizer step; saves memory
    ema_decay: float = number(0.0, at_least=0, at_most=1)  # of the mean weights validated and saved; 0: none
    perturb_ratio: float = number(0.8, at_least=0, at_most=1)  # items whose units come from a perturbed copy
    unit_noise: float = number(0.0, at_least=0)  # deviation of noise on the units; prevents overfitting
    keep_ckpts: int = number(3, at_least=0)  # newest checkpoints kept; 0: all
    patience: int = number(0, at_least=0)  # validations without a new best that end the run; 0: none do
    compile: bool = False  # torch.compile: slow to start
    port: str = field(default="8001", metadata={"from_int": True})  # where processes of one machine meet


@dataclass(frozen=True, kw_only=True)
class ConfigFile:
    """A whole file: sections and speakers."""

    data: FeatureSection = field(default_factory=FeatureSection)
    spk: dict[str, int] = field(default_factory=dict)  # ids, from 0, by name, in NFC

    def __post_init__(self) -> None:
        names = {normalize_name(name): id_ for name, id_ in self.spk.items()}
        if len(names) < len(self.spk):
            raise ConfigError("spk holds a name twice, in two ways of writing its letters; rename one")
        object.__setattr__(self, "spk", names)

    @property
    @abstractmethod
    def n_speakers(self) -> int:
        """Speakers that the model has room for."""

    @classmethod
    def unused_settings(cls, values: Mapping[str, Any]) -> list[str]:
        """Keys of the sections of a file that have no effect, as section.key."""
        unused: list[str] = []
        for name, kind in cls._sections().items():
            table = values.get(name)
            unused += kind.unused(table) if isinstance(table, Mapping) else []
        return unused

    @classmethod
    def _sections(cls) -> dict[str, type[Section]]:
        kinds = field_types(cls).items()
        return {name: kind for name, kind in kinds if isinstance(kind, type) and issubclass(kind, Section)}

    @classmethod
    def parse_sections(cls: type[T], values: Mapping[str, Any], *, yaml: bool = False) -> dict[str, Any]:
        """Checked sections and speakers of a file, by field name."""
        found: dict[str, Any] = {
            name: kind.parse(values.get(name, {}), yaml=yaml) for name, kind in cls._sections().items()
        }
        return {**found, "spk": parse_speakers(values.get("spk", {}), "spk")}

    def check_speakers(self, key: str) -> None:
        """Raise ConfigError if an id is not below the number of speakers, which is named ``key``."""
        for name, id_ in self.spk.items():
            if not 0 <= id_ < self.n_speakers:
                raise ConfigError(f"spk.{name} is {id_}, but {key} is {self.n_speakers}")

    def speaker_id(self, speaker: str | int) -> int:
        """Id of a speaker's name, in any Unicode form, or id; raises ConfigError that lists the names."""
        speaker = normalize_name(str(speaker))
        if speaker in self.spk:
            return self.spk[speaker]
        id_ = int(speaker) if speaker.isdecimal() else -1
        if id_ in self.spk.values() or (not self.spk and 0 <= id_ < self.n_speakers):
            return id_
        raise ConfigError(f"the model has no speaker {speaker!r}; it knows: {self.known_speakers()}")

    def known_speakers(self) -> str:
        """What a speaker may be called, for messages."""
        if self.spk:
            return ", ".join(f"{name} ({id_})" for name, id_ in self.spk.items())
        ids = "0" if self.n_speakers == 1 else f"0 to {self.n_speakers - 1}"
        return f"no names, for its configuration has none (section spk); give an id, {ids}"

    def warn_of_no_names(self, path: object) -> None:
        """Warn if the configuration ``path`` of a model that is passed on has no names of speakers."""
        if not self.spk:
            logger.warning("%s names no speakers (section spk): the model is asked for ids, as -s 0", path)

    def speaker_name(self, speaker: str | int) -> str:
        """Name of a speaker's name or id."""
        id_ = self.speaker_id(speaker)
        return next((name for name, known in self.spk.items() if known == id_), str(id_))


def parse_speakers(values: Any, key: str) -> dict[str, int]:
    """Ids by name, from the section ``key``; names reach terminals and the names of files.

    Raises:
        ConfigError: It is no table, an id is no integer, or a name is not a line of text.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"section {key!r} must give an id for each name")
    names = {str(name): id_ for name, id_ in values.items()}
    if strange := next((name for name in names if not is_line(name)), None):
        raise ConfigError(f"{key}: rename the speaker {strange[:60]!r}, whose name is not a line of text")
    return {name: check(id_, int, f"{key}.{name}") for name, id_ in names.items()}
