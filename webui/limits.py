"""How much of this machine requests may take while they arrive: time, memory, disk and their number."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

UPLOADS = ("/gradio_api/upload", "/voiceChangeModel", "/wav2wav")  # what they receive goes to the disk
LARGEST_FORM = 64 * 2**20  # bytes of any other request
MOST_UPLOADS = 16  # requests that arrive at the same time
GRACE, SLOWEST = 30.0, 16_000.0  # s, bytes/s: a request of n bytes has to arrive within GRACE + n / SLOWEST
KEPT_FREE = 2**30  # bytes of the disk
_LOOK_EVERY = 64 * 2**20  # bytes received between two looks at the disk


class BodyLimits:
    """ASGI middleware that refuses a request which is slow, too large, or one too many.

    ``folders`` are where uploads and results are written.
    """

    def __init__(self, app: ASGIApp, folders: Sequence[Path]) -> None:
        self._app, self._folders = app, folders
        self.uploads = 0  # requests whose beginning has arrived, but not their end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on with a bounded ``receive``, or answer."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        body = _Body(self, scope, receive)
        try:
            body.check(int(Headers(scope=scope).get("content-length") or 0))
        except HTTPException as error:
            await JSONResponse({"detail": error.detail}, error.status_code)(scope, receive, send)
            return
        try:
            await self._app(scope, body.receive, send)
        finally:
            body.release()

    def free(self) -> int:
        """Bytes that uploads may still take of the fullest disk."""
        known = [folder for folder in self._folders if folder.is_dir()]
        return min(shutil.disk_usage(folder).free for folder in known) - KEPT_FREE


class _Body:
    """The body of one request."""

    def __init__(self, limits: BodyLimits, scope: Scope, receive: Receive) -> None:
        self._limits, self._receive = limits, receive
        self._is_upload = scope["path"].rstrip("/").endswith(UPLOADS)
        self._begun, self._seen, self._looked = time.monotonic(), 0, 0
        self._counted = self._complete = False

    async def receive(self) -> Message:
        """The next message; raises HTTPException where the body breaks a limit."""
        if self._complete:
            return await self._receive()
        left = self._begun + GRACE + self._seen / SLOWEST - time.monotonic()
        try:
            message = await asyncio.wait_for(self._receive(), left)
        except (TimeoutError, asyncio.TimeoutError):  # two classes before Python 3.11
            raise HTTPException(408, "the request did not arrive in time") from None
        self._seen += len(message.get("body", b""))
        if not message.get("more_body"):
            self._complete = True
            self.release()
        elif not self._counted:
            if self._limits.uploads >= MOST_UPLOADS:
                raise HTTPException(429, "too many uploads at the same time; try again later")
            self._limits.uploads += 1
            self._counted = True
        self.check(self._seen)
        return message

    def check(self, size: int) -> None:
        """Raise HTTPException if ``size`` bytes are too many for memory, or for the disk by now."""
        if not self._is_upload and size > LARGEST_FORM:
            raise HTTPException(413, f"more than {LARGEST_FORM >> 20} MB, and not an upload")
        if self._is_upload and (not self._seen or size - self._looked > _LOOK_EVERY):
            self._looked = self._seen
            if size - self._seen > self._limits.free():
                raise HTTPException(507, "too little space is left on the disk of this server")

    def release(self) -> None:
        """Count this body no longer."""
        self._limits.uploads -= self._counted
        self._counted = False
