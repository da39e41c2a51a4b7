from types import SimpleNamespace

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from webui.language import SpokenLanguage, in_language

TEXTS = {"yes": ("yes", "是")}
PAGE = "<html><head><script>first()</script></head></html>"


@pytest.mark.parametrize(
    ("header", "cookie", "word"),
    [
        ("en-US,en", None, "yes"),
        ("zh-CN,zh;q=0.9,en;q=0.8", None, "是"),
        ("fr,zh", None, "yes"),
        ("", None, "yes"),
        ("en", "zh", "是"),
        ("zh-TW", "en", "yes"),
        ("zh", "<script>", "是"),
    ],
)
def test_a_choice_goes_before_the_browser(header, cookie, word):
    cookies = {} if cookie is None else {"glow_svc_language": cookie}
    request = SimpleNamespace(headers={"accept-language": header}, cookies=cookies)
    assert in_language(TEXTS, request)("yes") == word


def test_without_a_request_it_is_english():
    assert in_language(TEXTS, None)("yes") == "yes"


def test_the_page_learns_of_the_choice_before_its_scripts_run():
    routes = [
        Route("/", lambda request: HTMLResponse(PAGE)),
        Route("/other", lambda request: HTMLResponse(PAGE)),
        Route("/data", lambda request: JSONResponse("<head>")),
    ]
    app = Starlette(routes=routes)
    app.add_middleware(SpokenLanguage)
    client = TestClient(app)
    answer = client.get("/")
    assert answer.text.index("glow_svc_language") < answer.text.index("first()")
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert client.get("/other").text == PAGE
    assert client.get("/data").json() == "<head>"
