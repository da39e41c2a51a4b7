"""Names and passwords of the page and of programs; wrong ones are answered ever later."""

from __future__ import annotations

import base64
import binascii
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import ContextVar

from fastapi import HTTPException, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from modules.common.errors import ConfigError

FREE = 3  # wrong passwords of an address before it has to wait
LONGEST = 60.0  # s to wait, at most
_MOST = 10_000  # addresses that are remembered
_address: ContextVar[str] = ContextVar("address", default="")  # of the request that is answered


def parse_logins(entries: Sequence[str]) -> list[tuple[str, str]]:
    """Names and passwords from entries as "NAME:PASSWORD"; raises ConfigError for others."""
    logins = [(user, word) for user, _, word in (entry.partition(":") for entry in entries)]
    if not all(user and word for user, word in logins):
        raise ConfigError("--auth wants NAME:PASSWORD")
    return logins


class Logins:
    """Known names and passwords, and the wrong tries of each address.

    After ``FREE`` wrong ones, an address waits 1 s, then twice as long each time; what it sends
    meanwhile is not looked at, so that many tries at once do not help. Nobody has to log in
    without any ``entries``.
    """

    def __init__(
        self, entries: Sequence[tuple[str, str]] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._known = [f"{user}:{word}".encode() for user, word in entries]
        self._clock = clock
        self._wrong: dict[str, tuple[int, float]] = {}  # tries of an address, and when it may try again

    def __bool__(self) -> bool:
        """Whether a login is needed."""
        return bool(self._known)

    async def check(self, user: str, word: str) -> bool:
        """Whether a name and its password are right.

        Raises:
            HTTPException: 429 while the address has to wait.
        """
        return self._is_right(f"{user}:{word}".encode(errors="surrogatepass"))

    def check_basic(self, request: Request) -> None:
        """Check HTTP basic authentication, also of passwords that are not ASCII.

        Raises:
            HTTPException: 401 without a valid login, 429 while the address has to wait.
        """
        if not self:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        with suppress(binascii.Error, ValueError):
            if scheme.lower() == "basic" and self._is_right(base64.b64decode(given, validate=True)):
                return
        raise HTTPException(401, "log in", headers={"www-authenticate": "Basic"})

    def _is_right(self, sent: bytes) -> bool:
        address, now = _address.get(), self._clock()
        tries, until = self._wrong.get(address, (0, 0.0))
        if now < until:
            seconds = max(1, round(until - now))
            raise HTTPException(
                429, f"too many wrong passwords; wait {seconds} s", headers={"retry-after": str(seconds)}
            )
        # each is compared, so that the time says nothing
        if sum(secrets.compare_digest(sent, known) for known in self._known):
            self._wrong.pop(address, None)
            return True
        if len(self._wrong) >= _MOST:
            self._wrong = {key: entry for key, entry in self._wrong.items() if entry[1] > now}
        tries = min(tries + 1, FREE + 10)
        self._wrong[address] = tries, now + (min(LONGEST, 2.0 ** (tries - FREE)) if tries >= FREE else 0.0)
        return False


class KnownAddress:
    """ASGI middleware that tells :class:`Logins` which address sent a request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""
        client = scope.get("client")
        _address.set(client[0] if client else "")
        await self._app(scope, receive, send)
