"""Menus of what lies in folders, looked through again whenever they come into sight.

Not while one is open: the page notes which place of a menu was clicked, and a
list that grows under the hand gives another model than the one that was read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gradio as gr

Found = Callable[[], Sequence[str]]  # the entries, as they are now


def keep_current(*menus: tuple[gr.Dropdown, Found]) -> None:
    """Fill the menus anew when the page is opened, and when a tab that they lie in is chosen.

    To be called where the menus are laid out; what is chosen in them stays.
    """
    page = gr.context.Context.root_block
    assert page is not None

    def look() -> Any:
        found = [gr.Dropdown(choices=list(find())) for _, find in menus]
        return found if len(found) > 1 else found[0]

    gr.on(
        [page.load, *(tab.select for tab in _tabs_around(gr.context.Context.block))],
        look,
        None,
        [menu for menu, _ in menus],
        show_progress="hidden",
        api_visibility="private",
    )


def _tabs_around(block: Any) -> Iterator[gr.Tab]:
    """Yield the tabs that what is laid out now lies in, from the inside."""
    while block is not None:
        if isinstance(block, gr.Tab):
            yield block
        block = block.parent
