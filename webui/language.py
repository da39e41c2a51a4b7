"""Texts that are only known when a page asks: in the first language of the browser that asks.

Labels are translated in the browser, by Gradio. Sentences with numbers in them
are made here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import gradio as gr

Texts = Mapping[str, tuple[str, str]]  # (English, Chinese) by key


def speaks_chinese(request: gr.Request | None) -> bool:
    """Tell whether the browser asks for Chinese before anything else."""
    header = request.headers.get("accept-language", "") if request else ""
    return header.strip().lower().startswith("zh")


def in_language(texts: Texts, request: gr.Request | None) -> Callable[[str], str]:
    """Return a function that gives the text of a key in the language of the request."""
    index = int(speaks_chinese(request))
    return lambda key: texts[key][index]
