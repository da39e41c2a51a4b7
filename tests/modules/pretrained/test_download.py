"""Downloads over a bad line: a local server drops, lies, stalls and changes its mind."""

import errno
import socket
from itertools import product

import numpy as np
import pytest

from modules.common.progress import ProgressEvent
from modules.pretrained import download
from modules.pretrained.download import DownloadError, fetch
from tests.support.file_server import Fault

BODY = np.random.default_rng(0).bytes(600_000)
OTHER = np.random.default_rng(1).bytes(600_000)


@pytest.fixture
def get(tmp_path, monkeypatch, caplog, capsys):
    """Fetch an address into the same .part each time; return its content, and keep the lines."""
    monkeypatch.setenv("GLOW_SVC_PROGRESS", "json")

    class Get:
        part = tmp_path / "model.part"
        lines = property(lambda self: caplog.messages)

        def __call__(self, url, size=None):
            caplog.clear()
            fetch(url, self.part, size)
            return self.part.read_bytes()

        def progress(self):
            event = ProgressEvent.from_line(capsys.readouterr().err.splitlines()[-1])
            return event.done, event.total

        def broken_off(self, server):
            """Leave a part of the first file; return its address, which gives it whole from now on."""
            self.part.unlink(missing_ok=True)
            url = server.put("a.pt", BODY, faults=[Fault(drop=300_000)] + 4 * [Fault(status=503)])
            with pytest.raises(DownloadError, match=r"answers 503 .* 0\.[23] MB are kept for the next run"):
                self(url)
            return url

    return Get()


def test_a_file_comes_whole_with_its_progress(server, get):
    assert get(server.put("a.pt", BODY)) == BODY
    assert get.progress() == (len(BODY), len(BODY))
    assert get.lines == [] and server.ranges() == [""]
    assert get(server.put("b.pt", OTHER, length=-1)) == OTHER  # without a length the end is the end
    assert get.progress() == (len(OTHER), None)


def test_dropped_connections_are_resumed_where_they_broke(server, get):
    faults = [Fault(drop=200_000), Fault(drop=150_000), Fault(drop=100_000)]
    assert get(server.put("a.pt", BODY, faults=faults)) == BODY
    starts = [int(text.removeprefix("bytes=").removesuffix("-")) for text in server.ranges()[1:]]
    assert len(starts) == 3 and starts == sorted(starts) and starts[0] > 100_000
    assert all(headers["If-Range"] == '"v1"' for _, headers in server.requests[1:])
    assert len(get.lines) == 3 and all("trying again" in line for line in get.lines)
    assert get.progress() == (len(BODY), len(BODY))


def test_a_later_run_continues_with_a_part_of_the_same_file_only(server, get):
    url = get.broken_off(server)
    assert get(url) == BODY and server.ranges()[-1].startswith("bytes=2")
    asked = len(server.requests)
    assert get(url) == BODY and len(server.requests) == asked  # it is whole
    get.broken_off(server)
    assert get(server.put("b.pt", OTHER)) == OTHER
    get.broken_off(server)
    get.part.write_bytes(bytes(700_000))  # longer than the file
    assert get(url) == BODY


def test_without_ranges_or_a_strong_version_it_starts_over(server, get):
    for how in ({"etag": None}, {"etag": 'W/"v1"'}, {"ranges": False}):
        get.part.unlink(missing_ok=True)
        assert get(server.put("a.pt", BODY, faults=[Fault(drop=300_000)], **how)) == BODY
    assert server.ranges()[:4] == [""] * 4


def test_a_file_that_changed_between_the_tries_is_never_mixed(server, get):
    for if_range, other in product((True, False), (OTHER, OTHER[:500_000])):
        url = get.broken_off(server)
        server.put("a.pt", other, etag='"v2"', if_range=if_range)
        assert get(url) == other


def test_a_lie_about_the_length_is_found(server, get):
    for length, size, words in [
        (700_000, None, "ended after|broke after"),
        (500_000, 600_000, "is 500000 bytes long instead of 600000: it is another file"),
        (-1, 700_000, "ended after 600000 of 700000 bytes"),
        (-1, 500_000, "sent more than the 500000 bytes"),
    ]:
        get.part.unlink(missing_ok=True)
        with pytest.raises(DownloadError, match=words):
            get(server.put("a.pt", BODY, length=length), size)


@pytest.mark.parametrize("size", [100_000, None])
def test_what_goes_on_past_the_size_ends_within_a_block(server, get, monkeypatch, size):
    kept = []
    remove = download.discard
    monkeypatch.setattr(download, "discard", lambda part: (kept.append(part.stat().st_size), remove(part)))
    monkeypatch.setattr(download, "LARGEST", 100_000)
    with pytest.raises(DownloadError, match="sent more than the 100000 bytes of the file; deleted"):
        get(server.put("a.pt", BODY, length=-1), size)
    assert kept[0] <= 100_000 + download.BLOCK and not get.part.exists()


def test_refusals_are_not_tried_again_and_busy_servers_are(server, get):
    for status in (401, 403, 404, 410):
        with pytest.raises(DownloadError, match=f"answers {status} "):
            get(server.put("a.pt", BODY, faults=[Fault(status=status)]))
    assert len(server.requests) == 4 and not get.part.exists()
    for number, status in enumerate((429, 500, 503)):
        server.requests.clear()
        assert get(server.put(f"{number}.pt", BODY, faults=2 * [Fault(status=status)])) == BODY
        with pytest.raises(DownloadError, match=f"answers {status} "):
            get(server.put("b.pt", BODY, faults=9 * [Fault(status=status)]))
        assert len(server.requests) == 3 + download.TRIES


def test_a_page_instead_of_the_file_and_too_small_a_disk_are_refused(server, get, monkeypatch):
    for body, kind in [
        (b"model", "text/html; charset=utf-8"),
        (b"\n <!DOCTYPE html><html>sign in</html>", "application/octet-stream"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "text/plain"),
    ]:
        with pytest.raises(DownloadError, match="page"):
            get(server.put("a.pt", body, kind=kind))
        assert not get.part.exists() or get.part.stat().st_size == 0
    get.part.unlink(missing_ok=True)  # the disk is known before the first byte
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(OSError) as caught:
        get(server.put("a.pt", BODY))
    assert caught.value.errno == errno.ENOSPC and not get.part.exists()


def test_a_slow_drip_is_waited_for_and_silence_is_not(server, get, monkeypatch):
    assert get(server.put("slow.pt", BODY[:10_000], drip=0.004)) == BODY[:10_000]
    monkeypatch.setattr(download, "TIMEOUT", (1.0, 0.3))
    assert get(server.put("silent.pt", BODY, faults=[Fault(stall=0.6)])) == BODY
    assert "sent nothing for 0.3 s" in get.lines[0]


def test_without_a_connection_two_tries_give_the_reason_and_a_proxy_is_used(server, get, monkeypatch):
    with pytest.raises(DownloadError, match="cannot be reached .*name resolution"):
        get("http://models.example/a.pt")
    assert len(get.lines) == 1
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(DownloadError, match="cannot be reached .*refused"):
            get(f"http://127.0.0.1:{closed.getsockname()[1]}/a.pt")
    server.put("a.pt", BODY)
    monkeypatch.setenv("http_proxy", server.root)
    assert get("http://models.example/a.pt") == BODY
    assert server.requests[0][0] == "http://models.example/a.pt"
    monkeypatch.setenv("no_proxy", "models.example")
    with pytest.raises(DownloadError, match="cannot be reached"):
        get("http://models.example/b.pt")
