"""One project, server and browser for all tests of this folder, and a page for each."""

import re

import pytest

from tests.browser.acts import SLOW
from tests.browser.project import find_chromium, make_project, serve

pytest.importorskip(
    "playwright", reason="pip install -r requirements-browser.txt (make test-browser does it)"
)

from playwright.sync_api import sync_playwright  # noqa: E402

# messages on requests that were open when a page was closed or reloaded; a lost server causes more than these
HARMLESS = ("net::ERR_ABORTED", "AbortError: signal is aborted", "Connection errored out.")


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("page") / "my project 项目")


@pytest.fixture(scope="session")
def address(project):
    with serve(project) as address:
        yield address


@pytest.fixture(scope="session")
def browser():
    path = find_chromium()
    if path is None:
        pytest.skip("no browser: apt-get install chromium, or name one in the variable CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def settle(page):
    """Wait for the initial requests of the page, which overwrite earlier choices."""
    page.get_by_text(re.compile("No voice model is loaded|is loaded on|尚未加载|已加载")).first.wait_for()
    page.wait_for_timeout(500)
    page.wait_for_function("!/\\d+\\.\\ds/.test(document.body.innerText)")  # no running timer is shown


@pytest.fixture
def locale():
    return "en-US"


@pytest.fixture
def width():
    return 1280  # pixels


@pytest.fixture
def page(browser, address, locale, width):
    """The open page; an error in its console fails the test."""
    context = browser.new_context(locale=locale, viewport={"width": width, "height": 900})
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_default_timeout(SLOW)
    page.goto(address)
    settle(page)
    yield page
    context.close()
    assert [text for text in errors if not any(part in text for part in HARMLESS)] == []
