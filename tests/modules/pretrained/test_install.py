"""From the table to a file in its place: mirrors, checksums, archives, two at a time."""

import hashlib
import io
import json
import zipfile
from unittest.mock import patch

import numpy as np
import pytest

from modules.common.errors import ConfigError, MissingWeightsError
from modules.pretrained.install import ChangedWeightsError, check, install
from modules.pretrained.weights import WEIGHTS, DownloadSource, Weights, find_weights, weights_path
from tests.support.file_server import Fault, file_server

BODY = np.random.default_rng(0).bytes(300_000)
SHA = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def server(monkeypatch):
    with file_server(monkeypatch) as files:
        yield files


@pytest.fixture
def table(monkeypatch):
    """Return a function that puts the entry ``toy`` into the table."""

    def put(*sources, file="toy.pt", **how):
        line = Weights(file=file, purpose="A toy.", licence="none", sources=sources, **how)
        monkeypatch.setitem(WEIGHTS, "toy", line)

    return put


@pytest.fixture
def get(tmp_path, monkeypatch, caplog):
    """Install ``toy`` and return its content; keep the lines that were logged."""
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path / "pretrain"))

    class Get:
        root = tmp_path / "pretrain"
        lines = property(lambda self: caplog.messages)

        def __call__(self, url=None):
            caplog.clear()
            return install("toy", self.root, url).read_bytes()

        def left(self):
            return {path.name for path in self.root.rglob("*") if path.is_file() and path.suffix != ".lock"}

    return Get()


def archive(**members):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, body in members.items():
            file.writestr(f"toy/{name}", body)
    return content.getvalue()


def test_a_published_checksum_is_checked_and_nothing_else_is_left(server, table, get):
    table(DownloadSource(url=server.put("toy.pt", BODY), size=len(BODY), sha256=SHA))
    assert get() == BODY and weights_path("toy").read_bytes() == BODY
    assert get.left() == {"toy.pt", "checksums.json"}
    assert "as published" in get.lines[-1]
    assert get() == BODY and "already" in get.lines[0] and len(server.requests) == 1


def test_an_unpublished_checksum_is_recorded_and_said_so(server, table, get):
    table(DownloadSource(url=server.put("toy.pt", BODY)))
    assert get() == BODY
    assert "none is published" in get.lines[-1] and "checksums.json" in get.lines[-1] and SHA in get.lines[-1]
    content = json.loads((get.root / "checksums.json").read_text())
    assert content == {"downloads": {f"{server.root}/toy.pt": SHA}, "files": {"toy.pt": SHA}}


def test_another_file_than_published_or_recorded_is_deleted(server, table, get):
    table(DownloadSource(url=server.put("toy.pt", BODY)))
    get()
    (get.root / "toy.pt").unlink()
    server.put("toy.pt", BODY[::-1], etag='"v2"')
    with pytest.raises(MissingWeightsError, match="could not be downloaded, for the reasons above"):
        get()
    assert "recorded at the first download" in get.lines[-1] and get.left() == {"checksums.json"}
    table(DownloadSource(url=server.put("other.pt", BODY[::-1]), sha256=SHA))
    with pytest.raises(MissingWeightsError):
        get()
    assert "damaged or another one, and deleted" in get.lines[-1] and get.left() == {"checksums.json"}
    assert find_weights("toy") is None


def test_mirrors_are_tried_in_order_each_failure_a_line(server, table, get):
    table(
        DownloadSource(url=server.put("gone.pt", BODY, faults=9 * [Fault(status=404)])),
        DownloadSource(url=server.put("page.pt", b"<html>", kind="text/html")),
        DownloadSource(url=server.put("bad.pt", b"bad"), sha256=SHA),
        DownloadSource(url=server.put("good.pt", BODY), sha256=SHA),
        DownloadSource(url=server.put("never.pt", BODY)),
    )
    assert get() == BODY
    assert [path.lstrip("/") for path, _ in server.requests] == ["gone.pt", "page.pt", "bad.pt", "good.pt"]
    failures = [line for line in get.lines if ": answers" in line or "page" in line or "damaged" in line]
    assert [line.split(":")[2].partition("/")[2] for line in failures if "from" not in line][0] == "gone.pt"
    assert get.left() == {"toy.pt", "checksums.json"}


def test_a_mirror_that_breaks_off_costs_the_others_nothing(server, table, get):
    first = DownloadSource(
        url=server.put("a.pt", BODY, faults=[Fault(drop=200_000)] + 9 * [Fault(status=500)])
    )
    table(first, DownloadSource(url=server.put("b.pt", BODY, faults=9 * [Fault(status=404)])))
    with pytest.raises(MissingWeightsError):
        get()
    server.files["a.pt"].faults.clear()
    assert get() == BODY and server.ranges()[-1].startswith("bytes=1")
    assert get.left() == {"toy.pt", "checksums.json"}


def test_hf_endpoint_is_where_the_hub_s_files_come_from(server, table, get, monkeypatch):
    server.put("somebody/model/resolve/main/toy.pt", BODY)
    table(DownloadSource(url="https://huggingface.co/somebody/model/resolve/main/toy.pt"))
    monkeypatch.setenv("HF_ENDPOINT", server.root)
    assert get() == BODY
    assert list(json.loads((get.root / "checksums.json").read_text())["downloads"]) == [
        "https://huggingface.co/somebody/model/resolve/main/toy.pt"
    ]


def test_an_archive_gives_its_files(server, table, get):
    members = {name: f"toy/{name}" for name in ("model", "config.json", "NOTICE.txt")}
    url = server.put("toy.zip", archive(model=BODY, **{"config.json": "{}", "other": "x"}))
    table(DownloadSource(url=url, members=members), file="toy/model", companions=("toy/config.json",))
    assert get() == BODY
    assert get.left() == {"model", "config.json", "checksums.json"}
    sums = json.loads((get.root / "checksums.json").read_text())
    assert set(sums["files"]) == {"toy/model", "toy/config.json"} and sums["files"]["toy/model"] == SHA


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("toy.zip", archive(other=b"x"), "does not hold model"),
        ("toy.zip", archive(model=BODY)[:-100], "ends too early"),
        ("toy.zip", b"no archive at all", "damaged archive"),
        ("toy.pt", archive(data=BODY)[:-30], "ends too early"),  # as torch writes it
    ],
)
def test_a_bad_archive_leaves_nothing(server, table, get, name, body, words):
    members = {"model": "toy/model"} if name == "toy.zip" else {}
    table(DownloadSource(url=server.put(name, body, length=-1), members=members), file="toy/model")
    with pytest.raises(MissingWeightsError):
        get()
    assert words in get.lines[-1] and get.left() == set()


def test_another_address_can_be_given(server, table, get):
    table(DownloadSource(url="https://models.example/toy.pt"))
    assert get(server.put("elsewhere/x.bin", BODY) + "?signature=a%2Bb") == BODY
    assert server.requests[0][0].endswith("?signature=a%2Bb")
    (get.root / "toy.pt").unlink()
    with pytest.raises(ConfigError, match="--url 'C:/toy.pt' is not an address"):
        get("C:/toy.pt")


def test_a_crash_before_the_move_costs_no_second_download(server, table, get):
    table(DownloadSource(url=server.put("toy.pt", BODY)))
    with patch("modules.pretrained.install.sha256_of", side_effect=RuntimeError), pytest.raises(RuntimeError):
        get()
    assert get() == BODY and len(server.requests) == 1


def test_check_compares_with_what_is_published_and_recorded(table, get):
    get.root.mkdir()
    path, url = get.root / "toy.pt", "https://models.example/toy.pt"
    path.write_bytes(BODY)
    table(DownloadSource(url=url))
    assert check("toy", get.root) == f"{path}: recorded now"
    assert check("toy", get.root) == f"{path}: as recorded"
    path.write_bytes(BODY[:-1] + b"x")
    with pytest.raises(ChangedWeightsError, match="has changed since it was recorded"):
        check("toy", get.root)
    path.write_bytes(BODY)
    for sha, known, found in ((SHA, {}, "published"), ("0" * 64, {SHA: "another"}, "published (another)")):
        (get.root / "checksums.json").unlink()
        table(DownloadSource(url=url, sha256=sha), known=known)
        assert check("toy", get.root) == f"{path}: as {found}"
    (get.root / "checksums.json").unlink()
    table(DownloadSource(url=url, sha256="0" * 64))
    with pytest.raises(ChangedWeightsError, match="none of the published files"):
        check("toy", get.root)
    path.unlink()
    with pytest.raises(MissingWeightsError, match="is missing"):
        check("toy", get.root)


def test_damaged_checksums_are_named(table, get):
    get.root.mkdir()
    (get.root / "toy.pt").write_bytes(BODY)
    table()
    for text in ("", "[]", '{"downloads": 1, "files": {}}', '{"files": {"a": 1}, "downloads": {}}'):
        (get.root / "checksums.json").write_text(text)
        with pytest.raises(ConfigError, match="checksums.json is damaged; delete it"):
            check("toy", get.root)
