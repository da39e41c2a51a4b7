"""Tables of interchangeable parts: encoders, vocoders, F0 predictors, samplers, evaluators.

A part is one file and one line in its table. The line names its class as
"module:Class", which is imported only when the part is built, so listing names
(for ``--help``, menus or checks) costs nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from modules.common.errors import ConfigError


@dataclass(frozen=True)
class PartSpec:
    """One line of a table; subclasses add what their parts have."""

    target: str  # "module:Class", imported on first use
    kwargs: Mapping[str, Any] = field(default_factory=dict, kw_only=True)  # where lines share a class


S = TypeVar("S", bound=PartSpec)


class Registry(Mapping[str, S], Generic[S]):
    """A read-only table of specs by name; messages call the parts ``kind`` ("speech encoder")."""

    def __init__(self, kind: str, specs: Mapping[str, S]) -> None:
        self.kind = kind
        self.specs = dict(specs)

    def __getitem__(self, name: str) -> S:
        """The spec of ``name``; raises ConfigError that lists the known names."""
        if name not in self.specs:
            raise ConfigError(f"unknown {self.kind} {name!r}; choose one of: {', '.join(self.specs)}")
        return self.specs[name]

    def __contains__(self, name: object) -> bool:
        return name in self.specs

    def __iter__(self) -> Iterator[str]:
        return iter(self.specs)

    def __len__(self) -> int:
        return len(self.specs)

    def build(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """An instance of the class of ``name``, with the line's keyword arguments and these."""
        spec = self[name]
        module, _, attribute = spec.target.partition(":")
        return getattr(importlib.import_module(module), attribute)(*args, **{**spec.kwargs, **kwargs})
