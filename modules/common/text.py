"""Text that came from outside, before it reaches a terminal, a page or the name of a file."""

from __future__ import annotations

import unicodedata

_UNWANTED = frozenset(("Cc", "Cs", "Zl", "Zp"))  # control characters, lone surrogates, line separators


def printable(text: str, keep: str = "") -> str:
    r"""``text`` with all that does not belong in a line, except for ``keep``, as "\x1b" or "\ud800"."""
    return "".join(
        ascii(letter)[1:-1] if unicodedata.category(letter) in _UNWANTED and letter not in keep else letter
        for letter in text
    )


def is_line(text: str) -> bool:
    """Whether ``text`` is printable as it is."""
    return printable(text) == text


def normalize_name(name: str) -> str:
    """``name`` in Unicode's form NFC; archives made on a Mac hold letters and accents apart (NFD)."""
    return unicodedata.normalize("NFC", name)
