"""A song in the pitch editor, without a browser: what is shown, edits, renderings, files; what is refused."""

import json
import threading

import numpy as np
import pytest
import soundfile
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from inference.options import ConvertOptions
from inference.pitch.files import read_f0
from tests.inference.pitch.songs import PHRASE, phrases
from tests.inference.tiny import HOP, RATE, write_model
from webui.editor.routes import TICKET, editor_routes
from webui.editor.songs import MOST, OpenSongs
from webui.origin import OwnOrigin
from webui.session import ConversionTask, Session

FRAMES = round(PHRASE * RATE / HOP)  # of a phrase


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("editor")
    write_model(folder / "logs")
    soundfile.write(folder / "my song 歌.wav", phrases(), RATE)
    return folder


@pytest.fixture(scope="module")
def songs(project):
    return OpenSongs(Session())


def open_song(songs, project, key=0.0, page="page", **changes):
    options = ConvertOptions(model_path="logs/G_8.pth", device="cpu", wav_format="wav", **changes)
    task = ConversionTask(project / "my song 歌.wav", project / "unused.wav", "anna", key)
    return songs.open(options, task, page).result()


@pytest.fixture
def opened(songs, project, monkeypatch):
    monkeypatch.chdir(project)
    opened = open_song(songs, project)
    yield opened
    songs.close_page("page")


@pytest.fixture
def client(songs, opened):
    checks = [Middleware(OwnOrigin, listen="127.0.0.1", added={"testserver"})]
    app = Starlette(routes=[editor_routes(songs)], middleware=checks)
    return TestClient(app, headers={TICKET: opened.ticket})


def edit(client, **request):
    answer = client.post("/editor/edit", json=request)
    assert answer.status_code == 200, answer.text
    return answer.json()


def render(client, **request):
    answer = client.post("/editor/render", json=request)
    return json.loads(answer.text.splitlines()[-1])


def audio(client, of="result", start=0, end=2**21):
    answer = client.get("/editor/audio", params={"of": of, "start": start, "end": end})
    return np.frombuffer(answer.content, "<f4")


def test_a_song_is_shown(client, project):
    song = client.get("/editor/song").json()
    assert song["name"] == "my song 歌.wav" and song["samples"] == len(phrases())
    assert len(song["source"]) == len(phrases()) // HOP and song["f0"] == song["source"]
    assert [round(note[2]) for note in song["notes"]] == [57, 59, 61]
    assert len(song["stale"]) == 3 and len(song["bands"]) == 128
    np.testing.assert_allclose(audio(client, "source"), phrases(), atol=2**-15)  # 16 bits
    assert not audio(client).any()
    shades = client.get("/editor/mel", params={"of": "source", "start": 100, "end": 300}).content
    assert len(shades) == 200 * 128 and 0 <= min(shades) < 100 < max(shades)
    all_of_it = client.get("/editor/mel", params={"of": "source", "start": 0, "end": 2000}).content
    assert all_of_it[100 * 128 : 300 * 128] == shades  # tiles fit together


def test_an_edit_renders_its_phrase_alone(client):
    song = client.get("/editor/song").json()
    first = render(client)
    assert len(first["ranges"]) == 3 and first["stale"] == []
    before = audio(client)
    span = {"first": FRAMES + 50, "last": FRAMES + 200}
    changed = edit(client, action="move", semitones=2, **span)
    assert changed["undo"] == 1 and changed["stale"] == [song["stale"][1]]
    frame = FRAMES + 100 - changed["first"]
    assert changed["f0"][frame] == pytest.approx(song["f0"][FRAMES + 100] * 2 ** (2 / 12), rel=1e-3)
    start, end = render(client)["ranges"][0]
    after = audio(client)
    np.testing.assert_array_equal(after[:start], before[:start])
    np.testing.assert_array_equal(after[end:], before[end:])
    assert not np.array_equal(after[start:end], before[start:end])
    assert edit(client, action="undo")["redo"] == 1
    assert render(client)["ranges"] == [[start, end]]
    np.testing.assert_array_equal(audio(client), before)
    assert edit(client, action="redo")["f0"] == changed["f0"]


def test_edits_do_what_they_say(client, opened):
    span = {"first": FRAMES + 50, "last": FRAMES + 200}
    inside = slice(span["first"], span["last"])
    edit(client, action="unvoice", **span)
    assert not opened.history.f0[inside].any()
    edit(client, action="voice", **span)
    assert opened.history.f0[inside] == pytest.approx(250, rel=0.07)
    edit(client, action="draw", points=[[FRAMES + 60, 60], [FRAMES + 100, 64]])
    assert opened.history.f0[FRAMES + 80] == pytest.approx(440 * 2 ** (-7 / 12), rel=1e-4)
    edit(client, action="draw", points=[[FRAMES + 50, 71], [FRAMES + 199, 71]])
    edit(client, action="octaves", **span)
    assert opened.history.f0[FRAMES + 100] == pytest.approx(440 * 2 ** (-10 / 12), rel=1e-3)
    edit(client, action="shape", vibrato=0, drift=0, first=0, last=FRAMES)
    straight = opened.history.f0[50 : FRAMES - 80]
    assert straight.max() / straight.min() < 1.01
    edit(client, action="snap", scale="A:maj", strength=1, first=0, last=FRAMES)
    assert opened.history.f0[200] == pytest.approx(220, rel=2e-3)
    edit(client, action="reset", first=0, last=FRAMES)
    np.testing.assert_array_equal(opened.history.f0[:FRAMES], opened.song.f0[:FRAMES])
    assert edit(client, action="reset", first=0, last=FRAMES)["f0"] == []  # nothing changes
    while edit(client, action="undo")["undo"]:
        pass
    np.testing.assert_array_equal(opened.history.f0, opened.song.f0)


def test_pitches_are_those_that_sound_with_the_key(songs, project, monkeypatch, client):
    monkeypatch.chdir(project)
    opened = open_song(songs, project, key=1.5, page="keyed")
    client.headers[TICKET] = opened.ticket
    assert round(client.get("/editor/song").json()["notes"][0][2], 1) == pytest.approx(58.5, abs=0.1)
    edit(client, action="snap", scale="chromatic", strength=1, first=0, last=FRAMES)
    edit(client, action="draw", points=[[FRAMES + 60, 60], [FRAMES + 100, 60]])
    notes = client.get("/editor/song").json()["notes"]
    assert min(abs(notes[0][2] - 58), abs(notes[0][2] - 59)) < 0.05
    assert opened.history.f0[FRAMES + 80] == pytest.approx(440 * 2 ** (-10.5 / 12), rel=1e-4)
    songs.close_page("keyed")


def test_the_curve_is_the_file_of_the_command_line(client, opened, tmp_path):
    edit(client, action="unvoice", first=100, last=140)
    text = client.get("/editor/f0.csv").text
    (tmp_path / "song.f0.csv").write_text(text)
    read = read_f0(tmp_path / "song.f0.csv", len(opened.song.f0), opened.song.frame_rate)
    np.testing.assert_array_equal(read, opened.history.f0)
    edit(client, action="reset", first=0, last=len(read))
    edit(client, action="read", text=text)
    np.testing.assert_array_equal(opened.history.f0, read)
    edit(client, action="read", text="1.0 300\n1.01 300\n")  # the rest stays
    assert opened.history.f0[round(RATE / HOP)] == pytest.approx(300) and not opened.history.f0[110]


def test_the_result_is_saved(client, project):
    assert client.get("/editor/saved").json()["detail"] == "save the result first"
    edit(client, action="move", semitones=1, first=0, last=FRAMES)
    done = render(client, save=True)
    assert done["file"] == "my song 歌_edited_0key_anna_glow_swift-f0.wav" and done["stale"] == []
    written, _ = soundfile.read(project / "results" / done["file"], dtype="float32")
    assert len(written) == len(phrases())
    assert client.get("/editor/saved").content == (project / "results" / done["file"]).read_bytes()


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({}, "there is no edit 'None'"),
        ({"action": "jump"}, "there is no edit 'jump'"),
        ({"action": []}, "there is no edit"),
        ({"action": "voice"}, "first must be a number"),
        ({"action": "voice", "first": 5, "last": 5}, "select a part"),
        ({"action": "voice", "first": -1, "last": 5}, "from 0 to"),
        ({"action": "voice", "first": True, "last": 5}, "first must be"),
        ({"action": "move", "first": 0, "last": 5, "semitones": 1e9}, "semitones must be a number from -48"),
        (
            {"action": "snap", "first": 0, "last": 5, "strength": 1, "scale": "H:maj"},
            "must be a key as C:maj",
        ),
        ({"action": "snap", "first": 0, "last": 5, "strength": 1}, "scale must be text"),
        ({"action": "draw", "points": "much"}, "points must be pairs"),
        ({"action": "draw", "points": []}, "points must be pairs"),
        ({"action": "draw", "points": [[0, 60], [0, 61]]}, "must ascend"),
        ({"action": "draw", "points": [[0, 60], [1, None]]}, "must ascend"),
        ({"action": "draw", "points": [[0, 60], [1e300, 60]]}, "must ascend"),
        ({"action": "read", "text": "no\nfile"}, "the pitch file"),
        ({"action": "read", "text": "900 200\n"}, "none of the file's times"),
    ],
)
def test_a_wrong_edit_is_one_sentence_and_changes_nothing(client, opened, request_, message):
    answer = client.post("/editor/edit", json=request_)
    assert answer.status_code == 400 and message in answer.json()["detail"]
    np.testing.assert_array_equal(opened.history.f0, opened.song.f0)


def test_other_wrong_requests_are_refused(client):
    for body in (b"{", b"[]", b"[" * 10**5):
        answer = client.post("/editor/edit", content=body)
        assert answer.json()["detail"] == "the request must be a JSON object"
    for params in (
        {"of": "source"},
        {"of": "source", "start": 5, "end": 1},
        {"of": "x", "start": 0, "end": 1},
    ):
        assert client.get("/editor/audio", params=params).status_code == 400
    assert client.get("/editor/audio", params={"of": "source", "start": 0, "end": 2**40}).status_code == 400


def test_strangers_get_nothing(client):
    assert client.get("/editor/song", headers={"origin": "https://evil.example"}).status_code == 403
    for path in ("song", "f0.csv", "audio", "mel"):
        answer = client.get(f"/editor/{path}", headers={TICKET: "guess"})
        assert answer.status_code == 400 and "no longer open" in answer.json()["detail"]
    assert client.post("/editor/edit", headers={TICKET: ""}, json={}).status_code == 400


def test_a_page_has_one_song_and_a_server_few(songs, project, monkeypatch, opened):
    monkeypatch.chdir(project)
    second = open_song(songs, project)
    with pytest.raises(Exception, match="no longer open"):
        songs.of_ticket(opened.ticket)
    others = [open_song(songs, project, page=f"other {number}") for number in range(MOST)]
    with pytest.raises(Exception, match="no longer open"):
        songs.of_ticket(second.ticket)
    assert all(songs.of_ticket(other.ticket) is other for other in others)
    for other in others:
        songs.close_page(other.page)


def test_closing_a_song_ends_its_rendering(songs, project, monkeypatch, opened):
    monkeypatch.chdir(project)
    reached, go_on = threading.Event(), threading.Event()

    def busy(job):
        reached.set()
        go_on.wait(30)

    songs.session.queue.submit(busy)
    reached.wait(30)
    job = songs.render(opened)
    songs.close_page("page")
    go_on.set()
    job.finished.wait(30)
    assert job.cancelled
