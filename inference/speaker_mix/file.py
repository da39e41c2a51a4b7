"""The file of a speaker mix: Python syntax, read as data.

spkmix.py is edited by users and shared between them. It is parsed and never
run: whatever is not a table of numbers, names and lists is refused.
"""

from __future__ import annotations

import ast
import json
import warnings
from pathlib import Path
from typing import Any

from modules.common.errors import ConfigError, sanitize

NAME = "spk_mix_map"
SEGMENT = "[start, end, value at start, value at end]"
_LARGEST = 1_000_000  # bytes
_LARGEST_PYTHON = 100_000  # bytes; written by hand, and parsing takes hundreds of times as much memory


def read_mix_file(path: str | Path) -> list[tuple[Any, Any]]:
    """Read (speaker, track) pairs, unchecked and perhaps with duplicates.

    The file is ``spk_mix_map = {...}``, as in spkmix.py, the table alone, or JSON.

    Raises:
        ConfigError: The file is missing, unreadable or too large, or holds
            anything else, above all code; names the line.
    """
    text = _text(Path(path))
    try:
        content = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):  # not JSON: Python
        if len(text) > _LARGEST_PYTHON:
            raise ConfigError(
                f"{path} is too large for the tracks of a speaker mix; write it as JSON"
            ) from None
        return _parse_literal(text, path)
    if not isinstance(content, _Pairs):
        raise ConfigError(f"{path} must list a track for each speaker: {{speaker: [{SEGMENT}, ...], ...}}")
    return content


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with its duplicate keys."""


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST:
            raise ConfigError(f"{path} is too large for the tracks of a speaker mix")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(
            f"{path} does not exist; give the tracks of the mix with --spk_mix_file, or copy spkmix.py"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise ConfigError(f"{path} is not text; save it as UTF-8") from None


def _parse_literal(text: str, path: str | Path) -> list[tuple[Any, Any]]:
    try:
        with warnings.catch_warnings():  # of escapes in comments that are strings
            warnings.simplefilter("ignore")
            statements = ast.parse(text).body
        maps = [_map_of(statement, path) for statement in statements if not _is_comment(statement)]
        if len(maps) != 1:
            found = "more than once" if maps else "not"
            raise ConfigError(
                f"{path} must hold {NAME} = {{speaker: [{SEGMENT}, ...], ...}} once; it is {found} there"
            )
        return [
            (ast.literal_eval(key), ast.literal_eval(value))
            for key, value in zip(maps[0].keys, maps[0].values, strict=True)
            if key is not None
        ]
    except SyntaxError as error:
        raise ConfigError(f"{path}, line {error.lineno}: {error.msg}") from None
    except (ValueError, TypeError) as error:
        reason = sanitize(" ".join(str(error).split()), 200)
        raise ConfigError(f"{path} may hold numbers, names and lists only: {reason}") from None
    except (RecursionError, MemoryError):
        raise ConfigError(f"{path} nests lists too deeply") from None


def _is_comment(statement: ast.stmt) -> bool:
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _map_of(statement: ast.stmt, path: str | Path) -> ast.Dict:
    """The table in ``statement``; raises ConfigError if it is anything else."""
    value: ast.AST = statement
    if isinstance(statement, ast.Expr):
        value = statement.value
    elif isinstance(statement, ast.Assign) and list(map(ast.unparse, statement.targets)) == [NAME]:
        value = statement.value
    if not isinstance(value, ast.Dict) or None in value.keys:  # None: ** unpacking
        raise ConfigError(
            f"{path}, line {statement.lineno}: it may hold nothing but {NAME} = {{...}}, with numbers, names "
            "and lists; the file is read as data and never run"
        )
    return value
