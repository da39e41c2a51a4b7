"""Downloads over a bad line: a local server drops, lies, stalls and changes its mind."""

import errno
import os
import socket

import numpy as np
import pytest

from modules.pretrained import download
from modules.pretrained.download import DownloadError, fetch, version_file
from tests.support.file_server import Fault, file_server, isolate

BODY = np.random.default_rng(0).bytes(600_000)
OTHER = np.random.default_rng(1).bytes(600_000)


class Bar:
    def __init__(self, total, initial, **options):
        self.total, self.n = total, initial

    def update(self, n=1):
        self.n += n

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    isolate(monkeypatch)
    with file_server() as files:
        yield files


@pytest.fixture
def get(tmp_path, monkeypatch, caplog):
    """Fetch an address into the same .part each time; return its content, and keep the lines and the bars."""

    class Get:
        part = tmp_path / "model.part"
        bars: list[Bar] = []
        lines = property(lambda self: caplog.messages)

        def __call__(self, url, size=None):
            self.bars.clear()
            caplog.clear()
            fetch(url, self.part, size)
            return self.part.read_bytes()

    def progress_bar(**options):
        Get.bars.append(Bar(**options))
        return Get.bars[-1]

    monkeypatch.setattr(download, "progress_bar", progress_bar)
    return Get()


def test_a_file_comes_whole_with_its_progress(server, get):
    assert get(server.put("a.pt", BODY)) == BODY
    assert [(bar.total, bar.n) for bar in get.bars] == [(len(BODY), len(BODY))]
    assert get.lines == [] and server.ranges() == [""]


def test_dropped_connections_are_resumed_where_they_broke(server, get):
    faults = [Fault(drop=200_000), Fault(drop=150_000), Fault(drop=100_000)]
    assert get(server.put("a.pt", BODY, faults=faults)) == BODY
    starts = [int(text.removeprefix("bytes=").removesuffix("-")) for text in server.ranges()[1:]]
    assert len(starts) == 3 and starts == sorted(starts) and starts[0] > 100_000
    assert all(headers["If-Range"] == '"v1"' for _, headers in server.requests[1:])
    assert len(get.lines) == 3 and all("trying again" in line for line in get.lines)
    assert get.bars[-1].n == len(BODY)


def test_a_later_run_continues_and_a_finished_part_is_not_asked_for_again(server, get):
    url = server.put("a.pt", BODY, faults=[Fault(drop=300_000)] + 4 * [Fault(status=503)])
    with pytest.raises(DownloadError, match=r"answers 503 .* 0\.[23] MB are kept for the next run"):
        get(url)
    assert get(url) == BODY and server.ranges()[-1].startswith("bytes=2")
    asked = len(server.requests)
    assert get(url) == BODY and len(server.requests) == asked


def test_a_server_without_ranges_starts_over(server, get):
    assert get(server.put("a.pt", BODY, ranges=False, faults=[Fault(drop=300_000)])) == BODY


def test_a_server_that_names_no_version_starts_over(server, get):
    url = server.put("a.pt", BODY, etag=None, faults=[Fault(drop=300_000)])
    assert get(url) == BODY and server.ranges() == ["", ""]


@pytest.mark.parametrize("if_range", [True, False], ids=["honours If-Range", "ignores If-Range"])
@pytest.mark.parametrize("other", [OTHER, OTHER[:500_000]], ids=["same length", "another length"])
def test_a_file_that_changed_between_the_tries_is_never_mixed(server, get, if_range, other):
    url = server.put("a.pt", BODY, faults=[Fault(drop=300_000)] + 4 * [Fault(status=500)])
    with pytest.raises(DownloadError):
        get(url)
    server.put("a.pt", other, etag='"v2"', if_range=if_range)
    assert get(url) == other


def test_a_weak_etag_is_no_ground_to_continue_on(server, get):
    url = server.put("a.pt", BODY, etag='W/"v1"', faults=[Fault(drop=300_000)])
    assert get(url) == BODY and server.ranges() == ["", ""]


def test_a_part_of_another_address_is_not_continued(server, get):
    with pytest.raises(DownloadError):
        get(server.put("a.pt", BODY, faults=[Fault(drop=300_000)] + 4 * [Fault(status=500)]))
    assert get(server.put("b.pt", OTHER)) == OTHER


def test_a_part_longer_than_the_file_is_thrown_away(server, get):
    url = server.put("a.pt", BODY, faults=[Fault(drop=300_000)] + 4 * [Fault(status=500)])
    with pytest.raises(DownloadError):
        get(url)
    get.part.write_bytes(bytes(700_000))
    assert get(url) == BODY


@pytest.mark.parametrize(
    ("how", "size", "words"),
    [
        ({"length": 700_000}, None, "ended after|broke after"),
        ({"length": 500_000}, 600_000, "is 500000 bytes long instead of 600000: it is another file"),
        ({"length": -1}, 700_000, "ended after 600000 of 700000 bytes"),
        ({"length": -1}, 500_000, "sent more than the 500000 bytes"),
    ],
    ids=["claims more", "claims less", "claims nothing, sends less", "claims nothing, sends more"],
)
def test_a_lie_about_the_length_is_found(server, get, how, size, words):
    with pytest.raises(DownloadError, match=words):
        get(server.put("a.pt", BODY, **how), size)


def test_without_a_length_the_end_is_the_end(server, get):
    assert get(server.put("a.pt", BODY, length=-1)) == BODY
    assert get.bars[0].total is None


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_named_and_not_tried_again(server, get, status):
    with pytest.raises(DownloadError, match=f"answers {status} "):
        get(server.put("a.pt", BODY, faults=[Fault(status=status)]))
    assert len(server.requests) == 1 and not get.part.exists()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(server, get, status):
    assert get(server.put("a.pt", BODY, faults=2 * [Fault(status=status)])) == BODY
    with pytest.raises(DownloadError, match=f"answers {status} "):
        get(server.put("b.pt", BODY, faults=9 * [Fault(status=status)]))
    assert len(server.requests) == 3 + download.TRIES


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"model", "text/html; charset=utf-8"),
        (b"\n <!DOCTYPE html><html>sign in</html>", "application/octet-stream"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "text/plain"),
    ],
)
def test_a_page_instead_of_the_file_is_refused(server, get, body, kind):
    url = server.put("a.pt", body, kind=kind)
    with pytest.raises(DownloadError, match="page"):
        get(url)
    assert not get.part.exists() or get.part.stat().st_size == 0


def test_a_slow_drip_is_waited_for_and_silence_is_not(server, get, monkeypatch):
    assert get(server.put("slow.pt", BODY[:10_000], drip=0.004)) == BODY[:10_000]
    monkeypatch.setattr(download, "TIMEOUT", (1.0, 0.3))
    url = server.put("silent.pt", BODY, faults=[Fault(stall=0.6)])
    assert get(url) == BODY
    assert "sent nothing for 0.3 s" in get.lines[0]


def test_without_a_connection_the_reason_is_said_after_two_tries(server, get):
    with pytest.raises(DownloadError, match="cannot be reached .*name resolution"):
        get("http://models.example/a.pt")
    assert len(get.lines) == 1
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(DownloadError, match="cannot be reached .*refused"):
            get(f"http://127.0.0.1:{closed.getsockname()[1]}/a.pt")


def test_the_proxy_of_the_environment_is_used(server, get, monkeypatch):
    server.put("a.pt", BODY)
    monkeypatch.setenv("http_proxy", server.root)
    assert get("http://models.example/a.pt") == BODY
    assert server.requests[0][0] == "http://models.example/a.pt"
    monkeypatch.setenv("no_proxy", "models.example")
    with pytest.raises(DownloadError, match="cannot be reached"):
        get("http://models.example/b.pt")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_a_full_disk_ends_it_with_the_name_of_the_file(server, get):
    url = server.put("a.pt", BODY)
    original = download._read_answer

    def full(*args):
        answer = original(*args)
        get.part.symlink_to("/dev/full")
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(download, "_read_answer", full)
        with pytest.raises(OSError) as caught:
            get(url)
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(get.part)


def test_too_small_a_disk_is_known_before_the_first_byte(server, get, monkeypatch):
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(OSError) as caught:
        get(server.put("a.pt", BODY))
    assert caught.value.errno == errno.ENOSPC and not get.part.exists()


def test_what_came_before_an_interruption_is_kept(server, get):
    url = server.put("a.pt", BODY)

    def stop(self, n=1):
        self.n += n
        if self.n > 300_000:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Bar, "update", stop)
        get(url)
    kept = get.part.stat().st_size
    assert kept > 300_000 and version_file(get.part).exists()
    assert get(url) == BODY and server.ranges()[-1] == f"bytes={kept}-"
