"""From the table to a file in its place: mirrors, checksums, and archives from strangers."""

import hashlib
import io
import json
import re
import shutil
import stat
import zipfile
from unittest.mock import patch

import numpy as np
import pytest

from modules.common.errors import ConfigError, MissingWeightsError
from modules.pretrained.checksums import ChangedWeightsError, check
from modules.pretrained.install import install
from modules.pretrained.unpack import ArchiveError, unpack
from modules.pretrained.weights import WEIGHTS, DownloadSource, Weights, find_weights, weights_path
from tests.support.file_server import Fault

BODY = np.random.default_rng(0).bytes(300_000)
SHA = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def get(tmp_path, monkeypatch, caplog):
    """Install ``toy``, as put into the table, and return its content; keep the lines that were logged."""
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path / "pretrain"))

    class Get:
        root = tmp_path / "pretrain"
        lines = property(lambda self: caplog.messages)

        def table(self, *sources, file="toy.pt", **how):
            entry = Weights(file=file, purpose="A toy.", licence="none", sources=sources, **how)
            monkeypatch.setitem(WEIGHTS, "toy", entry)

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


def test_a_published_checksum_is_checked_and_another_recorded(server, get):
    url = server.put("toy.pt", BODY)
    for sha, message in ((SHA, "as published"), (None, f"{SHA}.*none is published.*checksums.json")):
        get.table(DownloadSource(url=url, size=len(BODY), sha256=sha))
        assert get() == BODY and weights_path("toy").read_bytes() == BODY
        assert re.search(message, get.lines[-1]) and get.left() == {"toy.pt", "checksums.json"}
        content = json.loads((get.root / "checksums.json").read_text())
        assert content == {"downloads": {url: SHA}, "files": {"toy.pt": SHA}}
        asked = len(server.requests)
        assert get() == BODY and "already" in get.lines[0] and len(server.requests) == asked
        shutil.rmtree(get.root)


def test_another_file_than_published_or_recorded_is_deleted(server, get):
    get.table(DownloadSource(url=server.put("toy.pt", BODY)))
    get()
    (get.root / "toy.pt").unlink()
    server.put("toy.pt", BODY[::-1], etag='"v2"')
    with pytest.raises(MissingWeightsError, match="could not be downloaded, for the reasons above"):
        get()
    assert "recorded at the first download" in get.lines[-1] and get.left() == {"checksums.json"}
    get.table(DownloadSource(url=server.put("other.pt", BODY[::-1]), sha256=SHA))
    with pytest.raises(MissingWeightsError):
        get()
    assert "damaged or a different one, and was deleted" in get.lines[-1] and get.left() == {"checksums.json"}
    assert find_weights("toy") is None


def test_mirrors_are_tried_in_order_each_failure_a_line(server, get):
    get.table(
        DownloadSource(url=server.put("gone.pt", BODY, faults=9 * [Fault(status=404)])),
        DownloadSource(url=server.put("page.pt", b"<html>", kind="text/html")),
        DownloadSource(url=server.put("bad.pt", b"bad"), sha256=SHA),
        DownloadSource(url=server.put("good.pt", BODY), sha256=SHA),
        DownloadSource(url=server.put("never.pt", BODY)),
    )
    assert get() == BODY
    assert [path.lstrip("/") for path, _ in server.requests] == ["gone.pt", "page.pt", "bad.pt", "good.pt"]
    for failure in ("gone.pt: answers 404", "page.pt: .*page", "bad.pt.*damaged"):
        assert sum(bool(re.search(failure, line)) for line in get.lines) == 1
    assert get.left() == {"toy.pt", "checksums.json"}


def test_a_mirror_that_breaks_off_costs_the_others_nothing(server, get):
    first = server.put("a.pt", BODY, faults=[Fault(drop=200_000)] + 9 * [Fault(status=500)])
    second = server.put("b.pt", BODY, faults=9 * [Fault(status=404)])
    get.table(DownloadSource(url=first), DownloadSource(url=second))
    with pytest.raises(MissingWeightsError):
        get()
    server.files["a.pt"].faults.clear()
    assert get() == BODY and server.ranges()[-1].startswith("bytes=1")
    assert get.left() == {"toy.pt", "checksums.json"}


def test_hf_endpoint_or_another_address_is_where_files_come_from(server, get, monkeypatch):
    path = "somebody/model/resolve/main/toy.pt"
    server.put(path, BODY)
    get.table(DownloadSource(url=f"https://huggingface.co/{path}"))
    monkeypatch.setenv("HF_ENDPOINT", server.root)
    assert get() == BODY
    sums = json.loads((get.root / "checksums.json").read_text())
    assert list(sums["downloads"]) == [f"https://huggingface.co/{path}"]
    (get.root / "toy.pt").unlink()
    get.table(DownloadSource(url="https://models.example/toy.pt"))
    assert get(server.put("elsewhere/x.bin", BODY) + "?signature=a%2Bb") == BODY
    assert server.requests[-1][0].endswith("?signature=a%2Bb")
    (get.root / "toy.pt").unlink()
    with pytest.raises(ConfigError, match="--url 'C:/toy.pt' is not an address"):
        get("C:/toy.pt")


def test_an_archive_gives_its_files(server, get):
    members = {name: f"toy/{name}" for name in ("model", "config.json", "NOTICE.txt")}
    url = server.put("toy.zip", archive(model=BODY, **{"config.json": "{}", "other": "x"}))
    get.table(DownloadSource(url=url, members=members), file="toy/model", companions=("toy/config.json",))
    assert get() == BODY
    assert get.left() == {"model", "config.json", "checksums.json"}
    sums = json.loads((get.root / "checksums.json").read_text())
    assert set(sums["files"]) == {"toy/model", "toy/config.json"} and sums["files"]["toy/model"] == SHA


def test_a_bad_archive_leaves_nothing(server, get):
    for name, body, words in [
        ("toy.zip", archive(other=b"x"), "does not hold model"),
        ("toy.zip", archive(model=BODY)[:-100], "ends too early"),
        ("toy.zip", b"no archive at all", "damaged archive"),
        ("toy.pt", archive(data=BODY)[:-30], "ends too early"),  # as torch writes it
    ]:
        members = {"model": "toy/model"} if name == "toy.zip" else {}
        get.table(DownloadSource(url=server.put(name, body, length=-1), members=members), file="toy/model")
        with pytest.raises(MissingWeightsError):
            get()
        assert words in get.lines[-1] and get.left() == set()


def test_a_crash_before_the_move_costs_no_second_download(server, get):
    get.table(DownloadSource(url=server.put("toy.pt", BODY)))
    with patch("modules.pretrained.install.sha256_of", side_effect=RuntimeError), pytest.raises(RuntimeError):
        get()
    assert get() == BODY and len(server.requests) == 1


def test_check_compares_with_what_is_published_and_recorded(get):
    """What was only recorded: see tests/scripts/test_pretrain.py."""
    get.root.mkdir()
    path, url = get.root / "toy.pt", "https://models.example/toy.pt"
    path.write_bytes(BODY)
    for sha, known, found in (
        (None, {}, "recorded now"),
        (None, {}, "as recorded"),
        (SHA, {}, "as published"),
        ("0" * 64, {SHA: "another"}, "as published (another)"),
    ):
        if sha:
            (get.root / "checksums.json").unlink()
        get.table(DownloadSource(url=url, sha256=sha), known=known)
        assert check("toy", get.root) == f"{path}: {found}"
    (get.root / "checksums.json").unlink()
    get.table(DownloadSource(url=url, sha256="0" * 64))
    with pytest.raises(ChangedWeightsError, match="none of the published files"):
        check("toy", get.root)
    for text in ("", "[]", '{"downloads": 1, "files": {}}', '{"files": {"a": 1}, "downloads": {}}'):
        (get.root / "checksums.json").write_text(text)
        with pytest.raises(ConfigError, match="checksums.json is damaged; delete it"):
            check("toy", get.root)


def take(archive, root):
    """Take model and config.json out of an archive, and a notice if there is one; return what came."""
    places = {name: root / name for name in ("model", "config.json", "NOTICE.txt")}
    unpack(archive, places, frozenset(list(places.values())[:2]))
    return {path.name: path.read_bytes() for path in root.iterdir()}


@pytest.fixture
def run(tmp_path):
    """Write an archive and take what is wanted out of it."""

    def call(*members):
        root = tmp_path / "pretrain"
        root.mkdir(exist_ok=True)
        with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as content:
            for name, body in members:
                content.writestr(name, body)
        return take(tmp_path / "a.zip", root)

    return call


GOOD = (("nsf_hifigan/model", b"weights"), ("nsf_hifigan/config.json", b"{}"))


def link(name):
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def test_the_wanted_files_come_out_of_whatever_folder(run):
    notice, rest = ("nsf_hifigan/NOTICE.txt", b"by"), ("__MACOSX/._model", b"x")
    wanted = {"model": b"weights", "config.json": b"{}", "NOTICE.txt": b"by"}
    assert run(*GOOD, ("nsf_hifigan/", b""), notice, rest, ("readme", b"")) == wanted
    assert run(("model", b"new"), GOOD[1])["model"] == b"new"


def test_an_archive_that_tries_more_is_refused_as_a_whole(run, tmp_path):
    for extra, words in [
        (("../evil", b"x"), "outside its folder"),
        (("nsf_hifigan/../../model", b"x"), "outside its folder"),
        (("/etc/passwd", b"x"), "outside its folder"),
        (("C:\\evil", b"x"), "outside its folder"),
        (("a\\..\\..\\evil", b"x"), "outside its folder"),
        ((link("elsewhere"), b"/etc"), "is a link"),
        ((link("model"), b"/etc/passwd"), "is a link"),
        (("other/model", b"x"), "'model' twice"),
    ]:
        with pytest.raises(ArchiveError, match=words):
            run(*GOOD, extra)
        assert list((tmp_path / "pretrain").iterdir()) == []
        assert {path.name for path in tmp_path.iterdir()} == {"a.zip", "pretrain"}


def test_a_zip_bomb_is_not_unpacked_even_if_it_understates_its_size(run, tmp_path):
    with pytest.raises(ArchiveError, match="claim to be 50000002"):
        run(("model", bytes(50_000_000)), GOOD[1])
    archive = tmp_path / "a.zip"
    claimed, less = ((size).to_bytes(4, "little") for size in (50_000_000, 1000))
    archive.write_bytes(archive.read_bytes().replace(claimed, less))
    with pytest.raises(ArchiveError, match="damaged"):
        take(archive, tmp_path / "pretrain")
    assert list((tmp_path / "pretrain").iterdir()) == []


def test_a_damaged_archive_writes_nothing_that_is_not_right(run, tmp_path):
    good, archive = run(*GOOD), tmp_path / "a.zip"
    whole = archive.read_bytes()
    for where in range(0, 200, 7):
        archive.write_bytes(whole[:where] + bytes([whole[where] ^ 0xFF]) + whole[where + 1 :])
        root = tmp_path / str(where)
        root.mkdir()
        try:
            assert take(archive, root) == good  # a bit that does not matter, such as a date
        except ArchiveError:
            assert list(root.iterdir()) == []


def test_when_one_file_cannot_be_placed_none_is(run, tmp_path):
    (tmp_path / "pretrain/config.json").mkdir(parents=True)
    with pytest.raises(OSError):
        run(*GOOD)
    assert {path.name for path in (tmp_path / "pretrain").iterdir()} == {"config.json"}
