"""Which requests come from this server's own page, or from a program: one check before every route.

A browser lets the page of any site send requests to this machine. It names that site in
``Origin``, or says ``cross-site``; and if a name of that site leads here (DNS
rebinding), that name is in ``Host``. Programs send no ``Origin``.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class OwnOrigin:
    """ASGI middleware that answers 403 to what the page of another site sends.

    ``listen`` is the address or name that the server listens on. ``added`` are further
    names that lead to it, as through a proxy, in lower case; more may be added later.
    """

    def __init__(self, app: ASGIApp, listen: str, added: set[str]) -> None:
        machine = socket.gethostname()
        self._app, self._added = app, added
        self._names = {name.lower() for name in ("localhost", listen, machine, f"{machine}.local")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        reason = "" if scope["type"] == "lifespan" else self._refusal(scope)
        if reason:
            await JSONResponse({"detail": reason}, 403)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> str:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", "").lower(), headers.get("origin")
        name = _hostname(f"//{host}")
        if not (_is_address(name) or name in self._names | self._added):
            return f"{name[:100]!r} is not a name of this server; --allow_host adds one"
        if origin is not None:  # a proxy may have replaced the host, but not the origin
            own = origin.lower().partition("://")[2] == host or _hostname(origin.lower()) in self._added
            return "" if own else "the pages of other sites cannot use this server"
        if headers.get("sec-fetch-site") in (None, "same-origin", "none"):  # "none": typed by the user
            return ""
        # a link may open the page, though not in a frame, where another site could steer the clicks
        opens = scope["path"] in ("", "/") and headers.get("sec-fetch-dest") == "document"
        if opens and scope.get("method") in ("GET", "HEAD"):
            return ""
        return "the pages of other sites can only link to the page of this server"


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    """Whether a name is an IP address, which no site can use as its name."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
