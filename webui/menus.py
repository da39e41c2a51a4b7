"""Menus of files, refreshed whenever they become visible.

Not while one is open: the page sends the index of the clicked entry, and a list that
has grown meanwhile has another entry there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gradio as gr

Find = Callable[[], Sequence[str]]  # current entries


def keep_current(*menus: tuple[gr.Dropdown, Find], button: gr.Button | None = None) -> None:
    """Refresh menus when the page is opened, a tab around them is selected, or ``button`` is clicked.

    To be called where the menus are laid out; the choice in them is kept.
    """
    page = gr.context.Context.root_block
    assert page is not None

    def refresh() -> Any:
        found = [gr.Dropdown(choices=list(find())) for _, find in menus]
        return found if len(found) > 1 else found[0]

    gr.on(
        [
            page.load,
            *(tab.select for tab in _tabs_around(gr.context.Context.block)),
            *([button.click] if button else []),
        ],
        refresh,
        None,
        [menu for menu, _ in menus],
        show_progress="hidden",
        api_visibility="private",
    )


def _tabs_around(block: Any) -> Iterator[gr.Tab]:
    """Yield the tabs around a block, from the inside."""
    while block is not None:
        if isinstance(block, gr.Tab):
            yield block
        block = block.parent
