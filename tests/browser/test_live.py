"""The tab Live: the browser's microphone through a voice and back, recorded; and what is not allowed."""

import re

import numpy as np
import pytest
import soundfile
from playwright.sync_api import expect

from tests.browser.acts import button, choose, field, fold, see, tab, toast
from tests.browser.conftest import settle

pytest.importorskip("wsproto", reason="pip install -r requirements.txt")
pytestmark = pytest.mark.browser
ALLOWED = {"permissions": ["microphone"]}
RUNNING = re.compile(
    r"[1-9]\d* s · latency \d+ ms, measured; 279 ms of it are block and look-ahead · load \d+ %"
)


def open_live(page):
    tab(page, "Live")
    choose(page, "Voice model", "trained/anna/G_8.pth")
    expect(field(page, "Speaker", exact=True)).to_have_value("anna")
    fold(page, "More settings")
    for label in ("Block, ms", "Look-ahead, ms"):  # so that a slow machine keeps up
        field(page, label).fill("140")
    field(page, "Context, ms", exact=True).fill("200")


@pytest.mark.parametrize("page", [ALLOWED], indirect=True)
def test_the_microphone_comes_back_in_another_voice(page, project, browser, address):
    open_live(page)
    field(page, "Record").check()
    button(page, "Start").click()
    see(page, RUNNING)
    meters = page.locator("#live-panel meter")
    expect(meters).to_have_count(2)
    page.wait_for_function(
        "[...document.querySelectorAll('#live-panel meter')].every(meter => meter.value > -60)"
    )
    other = browser.new_page(locale="en-US", **ALLOWED)
    other.goto(address)
    settle(other)
    open_live(other)
    button(other, "Start").click()
    toast(other, "a live conversion runs on this server already")
    other.close()
    choose(page, "Speaker", "花子")
    see(page, RUNNING)
    button(page, "Stop").click()
    see(page, "Ended.")
    expect(page.get_by_text(re.compile("live_anna")).locator("visible=true").first).to_be_visible()
    audio, _ = soundfile.read(project / "results/live_anna.flac")
    assert np.abs(audio).max() > 1e-3
    button(page, "Start").click()  # again
    see(page, RUNNING)
    page.reload()  # ends it too
    settle(page)
    open_live(page)
    button(page, "Start").click()
    see(page, RUNNING)


@pytest.mark.parametrize("page", [{}, {"locale": "zh-CN"}], indirect=True)
def test_a_microphone_that_is_not_allowed_is_one_sentence(page):
    chinese = page.locator("html").get_attribute("lang").startswith("zh")
    tab(page, "实时" if chinese else "Live")
    button(page, "开始" if chinese else "Start").click()
    toast(page, "浏览器未获准使用麦克风" if chinese else "The browser may not use the microphone")
    expect(page.locator("#live-panel meter")).to_have_count(0)
