"""Who may use a running server: its own page and programs, with a login if it has one."""

import os
import re
import stat
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client

from tests.webui.server import MODEL, make_project, running

FOREIGN = (
    {"host": "evil.example"},  # DNS rebinding
    {"host": "evil.example:7860", "origin": "http://evil.example:7860"},
    {"origin": "https://evil.example"},
    {"origin": "http://127.0.0.1:1"},  # another server of this machine
    {"origin": "null"},  # a page in a sandbox
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
)
UPLOAD = {"files": ("a.wav", b"RIFF")}
ROUTES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("POST", "gradio_api/queue/join", {"json": {"data": [], "fn_index": 0, "session_hash": "x"}}),
    ("POST", "gradio_api/call/load", {"json": {"data": ["../none.pth", {}]}}),
    ("POST", "gradio_api/call/v2/load", {"json": {"model_path": "../none.pth"}}),
    ("POST", "gradio_api/call/unload", {"json": {"data": []}}),
    ("POST", "gradio_api/run/unload", {"json": {"data": []}}),
    ("POST", "gradio_api/upload", {"files": UPLOAD}),
    ("POST", "gradio_api/cancel", {"json": {"session_hash": "x", "fn_index": 0, "event_id": "x"}}),
    ("POST", "voiceChangeModel", {"files": {"sample": ("a.wav", b"RIFF")}}),
    ("POST", "wav2wav", {"files": {"audio": ("a.wav", b"RIFF")}}),
    ("GET", "editor/song", {}),
    ("POST", "editor/edit", {"json": {"action": "undo"}}),
    ("GET", "logout", {}),
    ("GET", "config", {}),
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = make_project(tmp_path_factory.mktemp("project"))
    (root / "uploads").mkdir()
    return root


@pytest.fixture(scope="module")
def url(root):
    """A server behind a proxy that it knows, in an environment whose own proxies do not work."""
    proxies = {"http_proxy": "http://127.0.0.1:9", "all_proxy": "socks5://127.0.0.1:9", "no_proxy": "[::1]"}
    folder = {"TMPDIR": str(root / "uploads"), "GRADIO_TEMP_DIR": ""}
    with running(root, "--allow_host", "Music.example", **proxies, **folder) as address:
        yield address


@pytest.mark.parametrize("headers", FOREIGN)
def test_the_page_of_another_site_changes_nothing(url, headers):
    with httpx.Client(base_url=url) as site:
        for method, route, content in ROUTES:
            answer = site.request(method, f"/{route}", headers=headers, **content)
            assert answer.status_code == 403, route
            assert "other sites" in answer.text or "is not a name of this server" in answer.text


def test_own_page_and_programs_are_answered(url):
    port = url.rpartition(":")[2]
    own: tuple[dict[str, str], ...] = (
        {},
        {"origin": url, "sec-fetch-site": "same-origin"},
        {"host": f"localhost:{port}", "origin": f"http://localhost:{port}"},
        {"host": f"[::1]:{port}"},
        {"host": "music.example", "origin": "https://music.example"},
        {"origin": "https://music.example"},  # the proxy has replaced the host
    )
    with httpx.Client(base_url=url) as page:
        for headers in own:
            for method, route, content in ROUTES:
                assert page.request(method, f"/{route}", headers=headers, **content).status_code != 403
        assert page.post("/gradio_api/call/unload", json={"data": []}).status_code == 200
    assert MODEL in Client(url, verbose=False).predict(api_name="/models")


def test_another_site_can_link_to_the_page_but_not_frame_it(url):
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    for path, headers, status in (
        ("/", link, 200),
        ("/?__theme=dark", link, 200),
        ("/", {**link, "sec-fetch-dest": "iframe"}, 403),
        ("/logout", link, 403),
    ):
        assert httpx.get(f"{url}{path}", headers=headers).status_code == status


@pytest.mark.skipif(os.name != "posix", reason="other systems have a folder for each user")
def test_no_other_user_of_the_machine_can_read_an_upload(url, root):
    (path,) = httpx.post(f"{url}/gradio_api/upload", files=UPLOAD).json()
    top = root / "uploads" / Path(path).relative_to(root / "uploads").parts[0]
    assert stat.S_IMODE(top.stat().st_mode) == 0o700


def test_other_machines_need_a_password_that_is_printed_and_wrong_ones_are_slowed(root):
    with running(root, "--listen") as url:
        said = (root / "webui.log").read_text("utf-8")
        assert (found := re.search("log in as (glow) with the password (\\S+), made for", said)), said
        assert httpx.get(f"{url}/config").status_code == 401
        page, right = httpx.Client(base_url=url), (found[1], found[2])
        assert page.post("/voiceChangeModel", auth=right).status_code == 400
        assert page.post("/login", data={"username": right[0], "password": right[1]}).status_code == 200
        assert page.get("/config").status_code == 200
        wrong = {"username": "glow", "password": "wrong"}
        answers: list[int] = []
        while 429 not in answers[-1:]:
            answers = [page.post("/login", data=wrong).status_code for _ in range(4)]
            answers.append(page.post("/voiceChangeModel", auth=right).status_code)  # not even looked at
        assert page.get("/config").status_code == 200  # who is logged in stays so
        page.close()


def test_passwords_can_be_given_where_ps_does_not_show_them(root):
    with running(root, GLOW_SVC_AUTH="anna:söcret\nbob:other") as url:
        for auth, status in ((("anna", "söcret"), 400), (("bob", "other"), 400), (("anna", "other"), 401)):
            assert httpx.post(f"{url}/voiceChangeModel", auth=auth).status_code == status
        assert httpx.get(f"{url}/config").status_code == 401
