"""The HTTP server: its port, its thread, its patience, and the public link to it.

Gradio's own one asks for its page when it starts, through whatever proxy the environment
names, and waits indefinitely for the rest of a request.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from urllib.parse import urlsplit

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from modules.common.errors import GlowSVCError

PORTS = range(7860, 7960)  # the first free one is taken
HEADERS_WITHIN = 30.0  # s from a connection, or from an answer on it, to the end of the next headers
WEBSOCKETS = find_spec("wsproto") is not None  # it is new among the requirements
LARGEST_MESSAGE = 2**20  # bytes of one on a WebSocket
_FINISH_WITHIN = 2  # s for open requests when the server ends


@contextmanager
def without_proxies() -> Iterator[None]:
    """Hide the environment's proxies from what opens HTTP clients without ever using them.

    Gradio does when it is imported, and some settings, as socks5://, end that in a traceback.
    """
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.lower().endswith("_proxy")}
    try:
        yield
    finally:
        os.environ.update(hidden)


class PageServer:
    """A server in a thread of its own, from the start on; port 0 takes the first free one of ``PORTS``.

    Raises:
        OSError: The address cannot be listened on, or the port is taken.
    """

    def __init__(self, app: ASGIApp, host: str, port: int = 0) -> None:
        self.host = host.strip("[]")
        self._socket = _listen(self.host, port)
        self.port: int = self._socket.getsockname()[1]
        self.share_url = ""
        config = uvicorn.Config(
            app,
            http=_TimedProtocol,
            ws="wsproto" if WEBSOCKETS else "none",
            ws_max_size=LARGEST_MESSAGE,
            ws_per_message_deflate=False,  # sound hardly gets smaller, and waits for it
            lifespan="on",
            log_level="warning",
            timeout_graceful_shutdown=_FINISH_WITHIN,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True
        )
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise GlowSVCError("the server did not start; the messages above say why")
            time.sleep(0.01)

    @property
    def local_url(self) -> str:
        """Address of the page on this machine."""
        name = "localhost" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104 - only compared
        return f"http://[{name}]:{self.port}/" if ":" in name else f"http://{name}:{self.port}/"

    def share(self) -> str:
        """Open a public link through Gradio's servers; return its host, or raise GlowSVCError without one."""
        from gradio.networking import setup_tunnel

        try:
            self.share_url = setup_tunnel(self.host, self.port, secrets.token_urlsafe(32), None, None)
        except Exception as error:  # of Gradio, its network library, or the system
            raise GlowSVCError(f"no public link: {error or type(error).__name__}") from None
        return urlsplit(self.share_url).hostname or ""

    def wait(self) -> None:
        """Wait for the end of the server, or for Ctrl-C."""
        while self._thread.is_alive():
            self._thread.join(1.0)  # without a time, Windows would not notice Ctrl-C

    def close(self) -> None:
        """End the server."""
        self._server.should_exit = True
        self._thread.join(_FINISH_WITHIN + 3.0)


def _listen(host: str, port: int) -> socket.socket:
    kind = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][0]
    for number in [port] if port else PORTS:
        try:
            return socket.create_server((host, number), family=kind)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    raise OSError(errno.EADDRINUSE, f"port {port} is taken" if port else "all ports from 7860 are taken")


class _TimedProtocol(H11Protocol):
    """HTTP on one connection, which is closed if the headers of a request do not arrive in time."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._restart()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:  # the headers are complete
            self._stop()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.conn.their_state is h11.IDLE:
            self._restart()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def _restart(self) -> None:
        self._stop()
        self._timer = self.loop.call_later(HEADERS_WITHIN, self.timeout_keep_alive_handler)

    def _stop(self) -> None:
        if self._timer:
            self._timer.cancel()
