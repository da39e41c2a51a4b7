"""Read-only tables as HTML, which scroll on narrow pages instead of breaking words."""

from __future__ import annotations

import html
from collections.abc import Sequence


def html_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Table as HTML; the cells are escaped."""
    style = "padding:4px 12px;text-align:left;border-bottom:1px solid var(--border-color-primary)"
    head = "".join(f'<th style="{style}">{html.escape(header)}</th>' for header in headers)
    cells = ["".join(f'<td style="{style}">{html.escape(str(cell))}</td>' for cell in row) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in cells)
    return (
        '<div style="overflow-x:auto"><table style="width:100%;white-space:nowrap;border-collapse:collapse">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
