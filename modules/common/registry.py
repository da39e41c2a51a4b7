"""Tables of interchangeable parts: encoders, vocoders, F0 predictors.

A part is one file and one line in its table. The line names its class as
"module:Class", which is imported only when the part is built, so listing names
(for ``--help``, menus or checks) costs nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any, Generic, Protocol, TypeVar

from modules.common.errors import ConfigError


class Spec(Protocol):
    """What every line of a table has: the "module:Class" it stands for."""

    @property
    def target(self) -> str: ...  # noqa: D102


S = TypeVar("S", bound=Spec)


class Registry(Mapping[str, S], Generic[S]):
    """A read-only table of specs by name.

    Args:
        kind: What the parts are, for messages ("speech encoder").
        specs: The table.
    """

    def __init__(self, kind: str, specs: Mapping[str, S]) -> None:
        self.kind = kind
        self._specs = dict(specs)

    def __getitem__(self, name: str) -> S:
        """Return the spec of ``name``; raises ConfigError that lists the names there are."""
        if name not in self._specs:
            raise ConfigError(f"unknown {self.kind} {name!r}; choose one of: {', '.join(self._specs)}")
        return self._specs[name]

    def __contains__(self, name: object) -> bool:
        return name in self._specs

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)

    def build(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Import the class of ``name`` and return an instance of it."""
        module, _, attribute = self[name].target.partition(":")
        return getattr(importlib.import_module(module), attribute)(*args, **kwargs)
