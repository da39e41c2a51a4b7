"""Tables to look at: plain HTML, which a narrow page scrolls in itself instead of breaking words."""

from __future__ import annotations

import html
from collections.abc import Sequence


def draw_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table as HTML; whatever is in it is shown as text."""
    style = "padding:4px 12px;text-align:left;border-bottom:1px solid var(--border-color-primary)"
    head = "".join(f'<th style="{style}">{html.escape(header)}</th>' for header in headers)
    lines = ["".join(f'<td style="{style}">{html.escape(str(cell))}</td>' for cell in row) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return (
        '<div style="overflow-x:auto"><table style="width:100%;white-space:nowrap;border-collapse:collapse">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
