"""Menus of files, refreshed whenever they become visible.

Not while one is open: the page sends the index of the clicked entry, and a list that
has grown meanwhile has another entry there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

Find = Callable[[], Sequence[str]]  # current entries


def auto_refresh(*menus: tuple[gr.Dropdown, Find], button: gr.Button | None = None) -> None:
    """Refresh menus when the page is opened, a tab around them is selected, or ``button`` is clicked.

    To be called where the menus are laid out; the choice in them is kept.
    """
    page = gr.context.Context.root_block
    assert page is not None

    def refresh() -> Any:
        found = [gr.Dropdown(choices=list(find())) for _, find in menus]
        return found if len(found) > 1 else found[0]

    triggers = [page.load, *([button.click] if button else [])]
    block: Any = gr.context.Context.block
    while block is not None:
        if isinstance(block, gr.Tab):
            triggers.append(block.select)
        block = block.parent
    shown = [menu for menu, _ in menus]
    gr.on(triggers, refresh, None, shown, show_progress="hidden", api_visibility="private")
