"""Settings declared once, with type and range, and checked wherever they come from.

A section of config.json or diffusion.yaml is a frozen dataclass below
:class:`Section`, and a number says its range where it is declared::

    lr: float = number(1e-4, above=0)

pydantic was considered and rejected. It triples the time that importing this
package takes (0.15 s instead of 0.05), raises errors of its own from every
constructor, of several lines each, and has another idea of which conversions
are safe: translating all that was as long as this file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from reprlib import Repr
from typing import Any, ClassVar, TypeVar, get_args, get_origin, get_type_hints

from modules.common.errors import ConfigError, sanitize

LARGEST = 2**31 - 1  # of whole numbers that name no bound of their own
_LARGEST_FILE = 2_000_000  # bytes; a configuration has some thousands
_DEEPEST = 32  # lists in lists
_LONGEST_MESSAGE = 500  # letters; names in a file may have millions
_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")
_ABSENT = object()
S = TypeVar("S", bound="Section")


@dataclass(frozen=True)
class Bounds:
    """The finite numbers between two bounds; NaN is in no range."""

    above: float = -math.inf
    at_least: float = -math.inf
    below: float = math.inf
    at_most: float = math.inf

    def __contains__(self, value: float) -> bool:
        return self.above < value < self.below and self.at_least <= value <= self.at_most

    def __str__(self) -> str:
        if self.at_least > -math.inf and self.at_most == LARGEST:
            return f"not be below {self.at_least} or above {LARGEST}"
        if self.at_least > -math.inf and self.at_most < math.inf:
            return f"be between {self.at_least} and {self.at_most}"
        bounds = vars(self).items()
        named = [f"{name.replace('_', ' ')} {bound}" for name, bound in bounds if math.isfinite(bound)]
        return f"be {' and '.join(named if named[1:] else [*named, 'finite'])}"


def number(default: Any, **bounds: float) -> Any:
    """Field of a number, or of a tuple of numbers, within :class:`Bounds`."""
    if isinstance(default, int) and not {"below", "at_most"} & bounds.keys():
        bounds["at_most"] = LARGEST
    return field(default=default, metadata={"bounds": Bounds(**bounds)})


def choice(default: str, options: tuple[str, ...]) -> Any:
    """Field of one of several words."""
    return field(default=default, metadata={"options": options})


@dataclass(frozen=True, kw_only=True)
class Section:
    """A table of settings; every value is checked, even in a constructor and in ``dataclasses.replace``."""

    section: ClassVar[str]  # name of the table in the file
    aliases: ClassVar[Mapping[str, str]] = {}  # other spellings of keys: in the file, here
    inert: ClassVar[Mapping[str, Any]] = {}  # keys of published files that nothing reads, with their values

    def __post_init__(self) -> None:
        for name, kind in field_types(type(self)).items():
            value = self._checked(name, kind, getattr(self, name), f"{self.section}.{name}")
            object.__setattr__(self, name, value)

    @classmethod
    def parse(cls: type[S], values: Any, *, yaml: bool = False) -> S:
        """Section from a table; unknown keys are ignored.

        With ``yaml`` empty keys count as missing, and 1e-4, which YAML 1.1 takes for text, as a number.

        Raises:
            ConfigError: A value is of the wrong type or out of its range; names the key as it is spelt.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(f"section {cls.section!r} must be a table of settings")
        kinds, found = field_types(cls), {}
        for key, value in values.items():
            name = cls.aliases.get(key, key)
            if yaml and kinds.get(name) is float and isinstance(value, str) and _EXPONENT.fullmatch(value):
                value = float(value)
            if name in kinds and not (yaml and value is None):
                found[name] = cls._checked(name, kinds[name], value, f"{cls.section}.{key}")
        return cls(**found)

    @classmethod
    def unused(cls, values: Mapping[str, Any]) -> list[str]:
        """Keys of a table that have no effect; without those that stand in every published file."""
        known = {*field_types(cls), *cls.aliases}
        return [
            f"{cls.section}.{key}"
            for key, value in values.items()
            if key not in known and cls.inert.get(key, _ABSENT) != value
        ]

    @classmethod
    def _checked(cls, name: str, kind: Any, value: Any, where: str) -> Any:
        metadata = cls.__dataclass_fields__[name].metadata
        if metadata.get("from_int") and isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        value = check(value, kind, where, metadata.get("bounds"))
        options = metadata.get("options", (value,))
        if value not in options:
            allowed = " or ".join(filter(None, (", ".join(options[:-1]), options[-1])))
            raise ConfigError(f"{where} {_shown(value)} is unknown; use {allowed}")
        return value


def field_types(cls: type) -> dict[str, Any]:
    """Types of a dataclass's fields, by name."""
    hints = get_type_hints(cls)
    return {f.name: hints[f.name] for f in fields(cls)}


def check(value: Any, kind: Any, where: str, allowed: Bounds | None = None) -> Any:
    """``value`` as ``kind``; only conversions that lose nothing are made.

    A kind is bool, int, float, str, or a tuple of them; ``tuple[str, ...]`` also takes a single one.

    Raises:
        ConfigError: It is of another type or not ``allowed``; one line that names ``where``, its key.
    """
    kinds = get_args(kind)
    if kinds and kinds[-1] is Ellipsis:
        entries = value if isinstance(value, (list, tuple)) else [value]
        return tuple(check(entry, kinds[0], where, allowed) for entry in entries)
    if get_origin(kind) is tuple and isinstance(value, (list, tuple)) and len(value) == len(kinds):
        return tuple(check(v, k, where, allowed) for v, k in zip(value, kinds, strict=True))
    numeric, given = {int, float} & {kind, *kinds}, value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 10**308 else math.inf
    elif kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    allowed = allowed or Bounds()
    if kinds or not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        name = str(kind) if kinds else kind.__name__
        limits = f" and {allowed}" if numeric else ""
        raise ConfigError(f"{where} must be of type {name}{limits}, not {_shown(given)}")
    if numeric and value not in allowed:
        raise ConfigError(f"{where} must {allowed}, not {_shown(given)}")
    return value


_SHORT = Repr()
_SHORT.maxlevel = 2  # lists in lists in lists may have billions of entries, with YAML's aliases


def _shown(value: Any) -> str:
    try:
        return _SHORT.repr(value)
    except ValueError:  # Python writes out no number of more than some thousand digits
        return "a number of thousands of digits"


def read_file(
    path: str | Path, load: Callable[[str], Any], kind: str, writers: str, largest: int = _LARGEST_FILE
) -> Any:
    """Values of a JSON or YAML file, whose text ``load`` parses, or raises ValueError.

    Raises:
        ConfigError: The file is missing, and ``writers`` say which programs write it; it is unreadable;
            or it has more than ``largest`` bytes, since what is parsed takes many times its size.
    """
    try:
        if Path(path).stat().st_size > largest:
            raise ConfigError(f"{path} is too large for a configuration: more than {largest:,} bytes")
        values = load(Path(path).read_text(encoding="utf-8-sig"))
        if _is_deep(values):
            raise ValueError("it nests lists or tables too deeply")
        return values
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist; {writers}") from None
    except (OSError, ValueError, RecursionError) as error:
        reason = sanitize(" ".join(str(error).split()), _LONGEST_MESSAGE)
        raise ConfigError(f"{path} cannot be read as {kind}: {reason}") from None


def _is_deep(values: Any) -> bool:
    """Whether lists and tables lie in each other deeper than code that recurses can follow."""
    level: list[Any] = [[values]]
    for _ in range(_DEEPEST):
        inner = (child.values() if isinstance(child, dict) else child for child in level)
        level = [child for part in inner for child in part if isinstance(child, dict | list)]
    return bool(level)


@contextmanager
def errors_name(path: str | Path) -> Iterator[None]:
    """Put the file in front of the messages of ConfigErrors."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{path}: {sanitize(str(error), _LONGEST_MESSAGE)}") from None
