"""Language of the page: the browser's, or the one chosen in Gradio's Settings at the page's lower end.

Gradio translates labels in the browser, from the texts in ``gr.I18n``; those of a tab
that has not been opened follow a change in Settings when it is. Sentences with
numbers in them are made here, so the page sends its language as a cookie.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import gradio as gr

_COOKIE = "glow_svc_language"
# Gradio keeps the attribute lang of <html> at the language that it shows
HEAD = f"""<script>
(() => {{
  const page = document.documentElement;
  const tell = () => document.cookie = "{_COOKIE}=" + page.lang + "; path=/; samesite=lax";
  tell();
  new MutationObserver(tell).observe(page, {{ attributeFilter: ["lang"] }});
}})();
</script>"""

Texts = Mapping[str, tuple[str, str]]  # (English, Chinese) by key


def is_chinese(request: gr.Request | None) -> bool:
    """Whether a page is shown in Chinese."""
    return request is not None and request.cookies.get(_COOKIE, "").startswith("zh")


def in_language(texts: Texts, request: gr.Request | None) -> Callable[[str], str]:
    """Lookup of a text by its key, in the language of the request's page."""
    index = int(is_chinese(request))
    return lambda key: texts[key][index]
