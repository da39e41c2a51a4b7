"""Requests that take too long, too much or are too many, at a server of our own with the real routes."""

import select
import shutil
import socket
from contextlib import ExitStack
from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI
from starlette.middleware import Middleware

from webui import limits, server
from webui.api import routes
from webui.limits import BodyLimits
from webui.logins import Logins
from webui.server import PageServer
from webui.session import Session

PATIENCE = 20.0  # s for an answer


@pytest.fixture
def running_server(tmp_path, monkeypatch):
    """Without the page, which takes seconds to lay out."""
    monkeypatch.setattr(limits, "GRACE", 0.5)
    monkeypatch.setattr(server, "HEADERS_WITHIN", 0.5)
    published = routes(tmp_path, Session(), Logins())
    app = FastAPI(routes=published, middleware=[Middleware(BodyLimits, folders=[tmp_path])])
    running = PageServer(app, "127.0.0.1")
    yield running
    running.close()


def half_sent(running_server, head, body=""):
    """A connection that has sent the beginning of a request."""
    connection = socket.create_connection(("127.0.0.1", running_server.port), PATIENCE)
    connection.sendall(f"{head}\r\nhost: 127.0.0.1\r\n{body}".encode())
    return connection


def upload(size=10_000, path="voiceChangeModel"):
    return f"POST /{path} HTTP/1.1", (
        f"content-length: {size}\r\ncontent-type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
    )


def test_half_a_request_is_not_waited_for(running_server):
    with half_sent(running_server, "POST /wav2wav HTTP/1.1") as connection:
        assert connection.recv(1) == b""  # closed
    with half_sent(running_server, *upload()) as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 408")
    assert httpx.post(f"{running_server.local_url}wav2wav", data={"tran": "1"}).status_code == 400


def test_uploads_are_bounded_in_number_and_by_the_disk(running_server, monkeypatch):
    monkeypatch.setattr(limits, "GRACE", PATIENCE)
    monkeypatch.setattr(limits, "MOST_UPLOADS", 2)
    with ExitStack() as connections:
        begun = [connections.enter_context(half_sent(running_server, *upload())) for _ in range(3)]
        answered, _, _ = select.select(begun, [], [], PATIENCE)
        assert len(answered) == 1 and answered[0].recv(1000).startswith(b"HTTP/1.1 429")
        assert httpx.post(f"{running_server.local_url}wav2wav", data={"tran": "1"}).status_code == 400
    left = SimpleNamespace(free=limits.KEPT_FREE + 5_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: left)
    with half_sent(running_server, *upload(10_000)) as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 507")


def test_what_is_no_upload_is_small(running_server):
    size = limits.LARGEST_FORM + 1
    with half_sent(running_server, *upload(size, "gradio_api/queue/join")) as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 413")
