"""The command line of a conversion, generated from :class:`inference.options.ConvertOptions`."""

from __future__ import annotations

import argparse
from collections.abc import Container
from dataclasses import fields
from typing import Any, get_args, get_origin, get_type_hints

from inference.options import ConvertOptions


def add_arguments(parser: argparse.ArgumentParser, but: Container[str] = ()) -> None:
    """Add a flag for every option ``but`` some; :func:`from_arguments` reads them back."""
    kinds = get_type_hints(ConvertOptions)
    for option in fields(ConvertOptions):
        if option.name in but:
            continue
        flags, choices = option.metadata["flags"], option.metadata["choices"]
        kind, text = kinds[option.name], option.metadata["help"]
        default: Any = option.default
        settings: dict[str, Any] = {"dest": option.name, "default": default, "help": text}
        if kind is bool:
            parser.add_argument(*flags, action="store_true", **settings)
            continue
        several = get_origin(kind) is tuple
        item = next(iter(get_args(kind)), kind)  # of tuple[item, ...] and item | None
        defaults = default if several else (default,)
        shown = " ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in defaults)
        if shown and default is not None:
            settings["help"] += f" ({shown})"
        metavar = None if choices else {float: "NUMBER", float | str: "NUMBER", str: "NAME"}.get(item)
        nargs = "+" if several else None
        settings |= {"type": option.metadata["parse"] or item, "nargs": nargs, "metavar": metavar}
        parser.add_argument(*flags, choices=choices, **settings)


def from_arguments(arguments: argparse.Namespace) -> ConvertOptions:
    """Options of a parsed command line; those without a flag have their defaults.

    Raises:
        ConfigError: See :class:`ConvertOptions`.
    """
    values: dict[str, Any] = {
        option.name: getattr(arguments, option.name, option.default) for option in fields(ConvertOptions)
    }
    lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return ConvertOptions(**{**values, **lists})
