"""Sound over the WebSocket of the tab Live, without a browser: what comes back, and what is refused."""

import json
import time

import numpy as np
import pytest
import soundfile
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from inference.options import ConvertOptions
from inference.realtime.settings import RealtimeSettings
from tests.inference.realtime.sounds import tone
from tests.inference.tiny import write_model
from tests.support.processes import wait_until
from webui.jobs.queue import BusyError
from webui.live.conversion import LiveRequest, LiveSlot
from webui.live.socket import live_route
from webui.origin import OwnOrigin
from webui.session import Session

RATE = 48000
FRAME = RATE // 50
SETTINGS = RealtimeSettings(block=100, context=200)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("live")
    write_model(folder / "logs")
    return folder


@pytest.fixture
def slot(project, monkeypatch):
    monkeypatch.chdir(project)
    slot = LiveSlot(Session())
    yield slot
    if slot.current:
        slot.current.end()
        slot.current.job.finished.wait(30)


@pytest.fixture
def client(slot):
    checks = [Middleware(OwnOrigin, listen="127.0.0.1", added={"testserver"})]
    return TestClient(Starlette(routes=[live_route(slot)], middleware=checks))


def begin(slot, record=False, page="page"):
    options = ConvertOptions(model_path="logs/G_8.pth", device="cpu")
    conversion = slot.begin(LiveRequest(options, SETTINGS, "anna", 0.0, record), page)
    wait_until(lambda: conversion.ready.is_set() or conversion.job.finished.is_set(), None, 60)
    if conversion.job.finished.is_set():
        conversion.job.result()
    return conversion


def receive(socket):
    message = socket.receive()
    return message.get("bytes") or json.loads(message["text"])


def sing(socket, seconds, hertz=220.0):
    """Send a tone at the pace of time; return what comes back, (T,), and the last status."""
    heard, status = [], {}
    audio = tone(seconds * RATE / 44100, hertz * 44100 / RATE)
    for start in range(0, len(audio) - FRAME, FRAME):
        socket.send_bytes(audio[start : start + FRAME].astype("<f4").tobytes())
        answer = receive(socket)
        while isinstance(answer, dict):
            status = answer
            answer = receive(socket)
        heard.append(np.frombuffer(answer, "<f4"))
        time.sleep(0.015)
    return np.concatenate(heard), status


def test_a_voice_comes_back_with_its_latency_and_a_recording(slot, client):
    conversion = begin(slot, record=True)
    with client.websocket_connect("/live") as socket:
        socket.send_json({"ticket": conversion.ticket, "rate": RATE})
        heard, status = sing(socket, 1.5)
        assert len(heard) % FRAME == 0 and np.abs(heard).max() > 1e-3
        assert 0.12 < status["algorithmic"] < 0.13
        assert status["algorithmic"] < status["lag"] < 2.0 and status["load"] > 0
        assert status["input"] > -20 and status["seconds"] > 0.5
        slot.of_page("page").change("花子", 3.0)
        sing(socket, 0.3)
        assert slot.of_page("another page") is None
    path = conversion.job.result()
    assert path.name == "live_anna.flac" and soundfile.info(path).frames > 44100
    assert "speaker anna, key +0" in soundfile.SoundFile(path).comment
    assert conversion._engine.speaker == "花子" and conversion._engine.key == 3.0


def test_there_is_one_at_a_time_and_the_next_after_its_end(slot, client):
    first = begin(slot)
    with pytest.raises(BusyError, match="runs on this server already"):
        begin(slot)
    with client.websocket_connect("/live") as socket:
        socket.send_json({"ticket": first.ticket, "rate": RATE})
        sing(socket, 0.1)
        with client.websocket_connect("/live") as second:  # the same ticket again
            second.send_json({"ticket": first.ticket, "rate": RATE})
            assert "is connected or has ended" in receive(second)["error"]
    first.job.finished.wait(30)
    assert begin(slot).ready.is_set()


@pytest.mark.parametrize(
    ("hello", "message"),
    [
        ("{}", "the first message must be"),
        ("[]", "the first message must be"),
        ("what?", "the first message must be"),
        ('{"ticket": "no", "rate": 48000}', "press Start again"),
        ('{"ticket": 5, "rate": 48000}', "press Start again"),
        ('{"ticket": "TICKET", "rate": 1}', "the rate must be between"),
        ('{"ticket": "TICKET", "rate": "nan"}', "the rate must be between"),
    ],
)
def test_a_stranger_is_told_why_it_may_not(slot, client, hello, message):
    conversion = begin(slot)
    with client.websocket_connect("/live") as socket:
        socket.send_text(hello.replace("TICKET", conversion.ticket))
        assert message in receive(socket)["error"]
        with pytest.raises(WebSocketDisconnect):
            socket.receive_text()
    assert not conversion.ended


@pytest.mark.parametrize("frame", [b"abc", b"\0" * 4 * RATE, "words"])
def test_what_is_no_frame_ends_it(slot, client, frame):
    conversion = begin(slot)
    with client.websocket_connect("/live") as socket:
        socket.send_json({"ticket": conversion.ticket, "rate": RATE})
        socket.send_text(frame) if isinstance(frame, str) else socket.send_bytes(frame)
        assert "a frame must be 1 to 24000 samples" in receive(socket)["error"]
    assert conversion.job.finished.wait(30)


def test_numbers_that_are_none_are_silence(slot, client):
    conversion = begin(slot)
    with client.websocket_connect("/live") as socket:
        socket.send_json({"ticket": conversion.ticket, "rate": RATE})
        for _ in range(10):
            socket.send_bytes(np.full(FRAME, np.nan, "<f4").tobytes())
            assert not np.frombuffer(receive(socket), "<f4").any()
        heard, _ = sing(socket, 1.0)
        assert np.isfinite(heard).all() and heard.any()


def test_a_fault_while_it_runs_is_one_sentence_and_keeps_the_recording(slot, client):
    conversion = begin(slot, record=True)
    with client.websocket_connect("/live") as socket:
        socket.send_json({"ticket": conversion.ticket, "rate": RATE})
        sing(socket, 0.5)
        conversion._engine.process = None  # what computes breaks
        answer: dict | bytes = {}
        while not (isinstance(answer, dict) and "error" in answer):
            socket.send_bytes(np.zeros(FRAME, "<f4").tobytes())
            answer = receive(socket)
            time.sleep(0.02)
    assert answer["error"] == "unexpected: 'NoneType' object is not callable"
    assert conversion.job.result().is_file()


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_the_page_of_another_site_gets_no_connection(slot, client, origin):
    with pytest.raises(WebSocketDenialResponse) as denied:
        client.websocket_connect("/live", headers={"origin": origin}).__enter__()
    assert denied.value.status_code == 403


def test_a_page_that_never_connects_gives_the_voice_back(slot, monkeypatch):
    monkeypatch.setattr("webui.live.conversion.CONNECT_WITHIN", 0.3)
    conversion = begin(slot)
    assert conversion.job.result() is None and conversion.ended
