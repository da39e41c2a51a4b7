"""A web server on the loopback with faults on demand, for the tests of downloads."""

from __future__ import annotations

import socket
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass
class Fault:
    """What goes wrong with one answer."""

    status: int = 0  # answered instead of the file
    drop: int | None = None  # the connection ends after so many bytes of the body
    stall: float = 0  # s without a byte, after half of the body


@dataclass
class Served:
    """One file and how it is served."""

    body: bytes
    etag: str | None = '"v1"'  # its version; None: the server names none
    ranges: bool = True  # whether parts of it are given
    if_range: bool = True  # whether If-Range is honoured
    length: int | None = None  # what Content-Length claims; None: the truth; -1: nothing
    kind: str = "application/octet-stream"
    drip: float = 0  # s between the hundredths of the body
    faults: list[Fault] = field(default_factory=list)  # of the first answers, in turn


class FileServer:
    """The files by path, and every request that came, as (path, headers)."""

    def __init__(self) -> None:
        self.files: dict[str, Served] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.root = ""

    def put(self, path: str, body: bytes, **how: object) -> str:
        """Serve ``body`` under ``path``; return its address."""
        self.files[path] = Served(body, **how)  # type: ignore[arg-type]
        return f"{self.root}/{path}"

    def ranges(self) -> list[str]:
        """Return the Range of each request; empty where there was none."""
        return [headers.get("Range", "") for _, headers in self.requests]


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        with suppress(ConnectionError):
            self._answer()

    def _answer(self) -> None:
        files = self.server.files
        files.requests.append((self.path, dict(self.headers.items())))
        path = urllib.parse.urlsplit(self.path).path.lstrip("/")  # a proxy is asked for the whole address
        served = files.files.get(urllib.parse.unquote(path))
        if served is None:
            return self.send_error(404)
        fault = served.faults.pop(0) if served.faults else Fault()
        if fault.status:
            return self.send_error(fault.status)
        total, start = len(served.body), 0
        wanted = self.headers.get("Range", "")
        current = not served.if_range or self.headers.get("If-Range", served.etag) == served.etag
        if served.ranges and wanted and current:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= total:
                return self.send_error(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        else:
            self.send_response(200)
        body = served.body[start:]
        if served.length != -1:
            self.send_header("Content-Length", str(len(body) if served.length is None else served.length))
        if served.etag:
            self.send_header("ETag", served.etag)
        self.send_header("Content-Type", served.kind)
        self.end_headers()
        if fault.drop is not None:
            body = body[: fault.drop]
        step = max(1, len(body) // (100 if served.drip else 2))
        for begin in range(0, len(body), step):
            self.wfile.write(body[begin : begin + step])
            time.sleep(served.drip or fault.stall)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the tests' output clean."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    files: FileServer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """Server on a free port of 127.0.0.1, which is all that can be reached; no time is lost between tries."""
    look_up = socket.getaddrinfo

    def only_here(host: str, *args: Any, **kwargs: Any) -> Any:
        if host not in ("127.0.0.1", "localhost"):
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", only_here)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HF_ENDPOINT", "GLOW_SVC_PRETRAIN"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr("modules.pretrained.download.PAUSE", 0.005)
    files = FileServer()
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.files = files
        files.root = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield files
        server.shutdown()
