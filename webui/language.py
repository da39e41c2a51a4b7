"""Language of the page: the browser's, or the one chosen in Gradio's Settings at the page's lower end.

Gradio translates labels in the browser, from the texts in ``gr.I18n``; those of a tab
that has not been opened follow a change in Settings when it is. Sentences with
numbers in them are made here, so the page sends its language as a cookie.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from webui.texts import TEXTS

if TYPE_CHECKING:
    import gradio as gr

_COOKIE = "glow_svc_language"
# Gradio keeps the attribute lang of <html> at the language that it shows
HEAD = f"""<script>
(() => {{
  const page = document.documentElement;
  const send = () => document.cookie = "{_COOKIE}=" + page.lang + "; path=/; samesite=lax";
  send();
  new MutationObserver(send).observe(page, {{ attributeFilter: ["lang"] }});
}})();
</script>"""

Say = Callable[[str], str]  # text of a key, in one language


def in_language(request: gr.Request | None) -> Say:
    """Lookup of texts in the language of the request's page; English without a request."""
    is_chinese = request is not None and request.cookies.get(_COOKIE, "").startswith("zh")
    return lambda key: TEXTS[key][is_chinese]
