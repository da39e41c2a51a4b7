"""Archives from strangers: what is wanted comes out, and nothing else does anything."""

import stat
import zipfile

import pytest

from modules.pretrained.unpack import ArchiveError, unpack


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
