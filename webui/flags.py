"""Fields of the page made from the flags of a script.

Names, defaults, choices and English help come from its parser; the page adds labels
and Chinese texts.
"""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import gradio as gr

from modules.common.errors import ConfigError
from modules.common.text import is_line
from webui.context import Context

_DEFAULT = re.compile(r"[ ;,]*\(?(?:default: )?%\(default\)[a-z]\)?")
_LIST = re.compile(r"^[\w+-]+(?:, [\w+-]+){2,}(?:; |$)")

Row = tuple[str, str, str]  # English label, Chinese label, Chinese help


def parser_of(script: str) -> argparse.ArgumentParser:
    """Parser of a script, by its module name."""
    return importlib.import_module(script).get_parser()


def flag_texts(script: str, rows: Mapping[str, Row]) -> dict[str, tuple[str, str]]:
    """Texts of a script's fields, by key, with the English help of its parser."""
    return field_texts(script, {name: _help(action) for name, action in _actions(script).items()}, rows)


def field_texts(prefix: str, helps: Mapping[str, str], rows: Mapping[str, Row]) -> dict[str, tuple[str, str]]:
    """Texts of fields, by key; ``helps`` are the English ones, by name."""
    texts = {}
    for name, (label, label_zh, help_zh) in rows.items():
        texts[f"{prefix}.{name}"] = label, label_zh
        texts[f"{prefix}.{name}.help"] = helps[name], help_zh
    return texts


class Flags:
    """Fields for some flags of a script, with the texts of :func:`flag_texts`.

    ``script`` is its module name, ``names`` are those of parsed arguments, ``choices`` are
    for flags whose parser lists none. The components ``fields`` are in the order of adding.
    """

    def __init__(self, context: Context, script: str, names: Sequence[str], **choices: Iterable[str]) -> None:
        self._context, self._script, self._choices = context, script, choices
        self._parsed = _actions(script)
        self._actions: list[argparse.Action] = []
        self.fields: list[Any] = []
        self.add(names)

    def add(self, names: Sequence[str]) -> None:
        """Lay out fields for further flags."""
        text = self._context.text
        for name in names:
            action, key = self._parsed[name], f"{self._script}.{name}"
            kind = bool if action.nargs == 0 else action.type
            choices = self._choices.get(name, action.choices)
            shown = {"label": text(key), "info": text(f"{key}.help")}
            self._actions.append(action)
            self.fields.append(build_field(kind, action.default, choices, **shown))

    def arguments(self, *values: Any) -> list[str]:
        """Command line for the values of the fields, without defaults.

        Values are joined with "=", since one may begin with a minus.

        Raises:
            ConfigError: A value is not a line of text.
        """
        words: list[str] = []
        for action, value in zip(self._actions, values, strict=True):
            flag = max(action.option_strings, key=len)
            if action.nargs == 0:
                words += [flag] if value else []
            elif value not in (None, "", action.default):
                if not is_line(str(value)):
                    raise ConfigError(f"{flag} cannot be {str(value)[:60]!r}, which has control characters")
                words.append(f"{flag}={_number(value) if action.type in (int, float) else value}")
        return words

    def __getitem__(self, name: str) -> Any:
        """Field of a flag."""
        return self.fields[self._actions.index(self._parsed[name])]


def _actions(script: str) -> dict[str, argparse.Action]:
    return {action.dest: action for action in parser_of(script)._actions}


def _help(action: argparse.Action) -> str:
    """Help of a flag without its default and list of choices, which the field shows."""
    return _LIST.sub("", _DEFAULT.sub("", action.help or "")).strip()


def build_field(kind: Any, value: Any, choices: Iterable[Any] | None = None, **settings: Any) -> Any:
    """Component for a value of type ``kind``: checkbox, menu (with choices), slider, number or text."""
    settings = {"min_width": 200, **settings}
    if kind is bool:
        return gr.Checkbox(bool(value), **settings)
    if choices is not None:
        return gr.Dropdown(list(choices), value=value, **settings)
    if "maximum" in settings:
        return gr.Slider(value=value, **settings)
    if kind in (int, float):
        return gr.Number(value, precision=0 if kind is int else None, **settings)
    return gr.Textbox(value or "", max_lines=1, **settings)


def _number(value: Any) -> str:
    return f"{value:g}" if abs(value) < 1e6 else str(int(value))
