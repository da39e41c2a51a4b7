"""The language of a page: what its reader chose on it, else the first that the browser asks for.

Labels are translated in the browser, by Gradio, which looks at the browser only.
Sentences with numbers in them are made here. A cookie tells both of a choice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders

if TYPE_CHECKING:
    import gradio as gr
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

ENGLISH, CHINESE = "en", "zh"
_COOKIE = "glow_svc_language"
_HEAD = f"""<script>
(() => {{
  const chosen = document.cookie.match(/(?:^|; ){_COOKIE}=({ENGLISH}|{CHINESE})/);
  if (!chosen) return;
  const name = chosen[1] === "{CHINESE}" ? "zh-CN" : "en-US";
  Object.defineProperty(navigator, "language", {{ get: () => name }});
  Object.defineProperty(navigator, "languages", {{ get: () => [name] }});
}})();
</script>"""
SWITCH = (  # what the browser does when another language is chosen
    f'(name) => {{ document.cookie = "{_COOKIE}=" + name + "; path=/; max-age=31536000; samesite=lax"; '
    "location.reload(); }"
)

Texts = Mapping[str, tuple[str, str]]  # (English, Chinese) by key


def speaks_chinese(request: gr.Request | None) -> bool:
    """Tell whether a page is in Chinese."""
    chosen = request.cookies.get(_COOKIE, "") if request else ""
    if chosen in (ENGLISH, CHINESE):
        return chosen == CHINESE
    header = request.headers.get("accept-language", "") if request else ""
    return header.strip().lower().startswith("zh")


class SpokenLanguage:
    """Puts a script before all others into pages of HTML, for what Gradio's ``head`` comes too late.

    Gradio asks the browser for its language as soon as it is loaded; the script
    lets the browser name the one that was chosen.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the app does; see the class."""
        if scope["type"] != "http" or scope["path"] != "/":
            await self._app(scope, receive, send)
            return
        parts: list[bytes] = []
        start: Message = {}

        async def keep(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            parts.append(message.get("body", b""))
            if message.get("more_body"):
                return
            body = b"".join(parts)
            headers = MutableHeaders(raw=start["headers"])
            if headers.get("content-type", "").startswith("text/html") and "content-encoding" not in headers:
                body = body.replace(b"<head>", f"<head>{_HEAD}".encode(), 1)
                headers["content-length"] = str(len(body))
            await send({**start, "headers": headers.raw})
            await send({"type": "http.response.body", "body": body})

        await self._app(scope, receive, keep)


def in_language(texts: Texts, request: gr.Request | None) -> Callable[[str], str]:
    """Return a function that gives the text of a key in the language of the request."""
    index = int(speaks_chinese(request))
    return lambda key: texts[key][index]
