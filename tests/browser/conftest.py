"""One project, server and browser for all tests of this folder, and a page for each."""

import os
import re
import shutil
from contextlib import suppress

import pytest

from modules.common.errors import ConfigError
from tests.browser.project import make_project
from tests.webui.server import running
from webui.jobs.processes import ScriptProcess

pytest.importorskip(
    "playwright", reason="pip install -r requirements-browser.txt (make test-browser does it)"
)

from playwright.sync_api import expect, sync_playwright  # noqa: E402

from tests.browser.acts import SLOW  # noqa: E402

expect.set_options(timeout=SLOW)

# messages on requests that were open when a page was closed or reloaded; a lost server causes more than these
HARMLESS = ("net::ERR_ABORTED", "AbortError: signal is aborted", "Connection errored out.")


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("page") / "my project 项目")


@pytest.fixture(scope="session")
def address(project):
    """Address of the page; at the end the scripts that it started are killed."""
    with running(project, OMP_NUM_THREADS="1", PYTHONUTF8="1") as address:
        yield address
    for record in (project / "logs/webui").glob("*.json"):
        with suppress(ConfigError):  # it has ended
            for _ in range(2):
                ScriptProcess(project, record.stem).stop()


@pytest.fixture(scope="session")
def browser():
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no browser: apt-get install chromium, or name one in the variable CHROMIUM")
    with sync_playwright() as playwright:
        # a microphone that beeps; the page still has to be allowed to use it
        args = ["--no-sandbox", "--use-fake-device-for-media-stream"]
        browser = playwright.chromium.launch(executable_path=path, args=args)
        yield browser
        browser.close()


def settle(page):
    """Wait for the initial requests of the page, which overwrite earlier choices."""
    page.get_by_text(re.compile("No voice model is loaded|is loaded on|尚未加载|已加载")).first.wait_for()
    page.wait_for_timeout(500)
    page.wait_for_function("!/\\d+\\.\\ds/.test(document.body.innerText)")  # no running timer is shown


@pytest.fixture
def page(browser, address, request):
    """The open page, of a desk unless parametrized; an error in its console fails the test."""
    desk = {"locale": "en-US", "viewport": {"width": 1280, "height": 900}}
    context = browser.new_context(**{**desk, **getattr(request, "param", {})})
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
