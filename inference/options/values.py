"""Values of options from files and pages, where they have no types."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_args, get_type_hints

from inference.options import ConvertOptions
from modules.common.errors import ConfigError

OPTIONS = {option.name: option for option in fields(ConvertOptions)}
KINDS = get_type_hints(ConvertOptions)


def convert_value(name: str, value: Any) -> Any:
    """``value`` with the type of the option ``name``: lists become tuples, whole numbers int.

    Raises:
        ConfigError: It is none of that type; names the flag.
    """
    kind, default, parse = KINDS[name], OPTIONS[name].default, OPTIONS[name].metadata["parse"]
    inner = get_args(kind)
    try:
        if isinstance(default, tuple):
            items = value if isinstance(value, list | tuple) else [value]
            return tuple(map(parse or inner[0], items))
        if kind is bool:
            if not isinstance(value, bool):
                raise ValueError
            return value
        if value is None or (value == "" and type(None) in inner):
            if type(None) not in inner:
                raise ValueError
            return None
        plain = inner[0] if inner else kind
        if isinstance(value, bool) or (plain is int and int(value) != float(value)):
            raise ValueError
        return plain(value)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"{OPTIONS[name].metadata['flags'][-1]}: {value!r} is not a valid value") from None
