"""Songs through the tab Convert: several, in turn, given up, too low, and those of before."""

import re
import shutil
import time

import numpy as np
import pytest
import soundfile
from playwright.sync_api import expect

from tests.browser.acts import SLOW, SONGS, button, choose, fold, upload
from tests.browser.conftest import settle
from tests.browser.project import SONG
from tests.webui.server import tone

pytestmark = pytest.mark.browser
VOICE = "trained/anna/G_8.pth"


@pytest.fixture(scope="module")
def long_song(project):
    """A song of ten minutes, which takes a while to convert."""
    path = project / "long ten.wav"
    soundfile.write(path, np.tile(tone(5.0), 120), 44100)
    return path


def voice(page):
    choose(page, "Model", VOICE)
    expect(page.get_by_label("Configuration").locator("visible=true").first).to_have_value(
        "trained/anna/config.json"
    )
    expect(page.get_by_text("anna", exact=True).locator("visible=true").first).to_be_visible(timeout=SLOW)


def unloaded(page):
    """Press until the voice can be unloaded: then nothing is in use."""
    end = time.monotonic() + 60
    while not page.get_by_text("The model is unloaded").locator("visible=true").count():
        assert time.monotonic() < end, "the model is still in use"
        button(page, "Unload").click()
        page.wait_for_timeout(500)


def test_several_songs_at_once_and_those_of_before(page, project):
    soundfile.write(project / "second.wav", tone(2.0), 44100)
    (project / "results").mkdir(exist_ok=True)
    shutil.copyfile(project / "second.wav", project / "results" / "before.wav")
    voice(page)
    choose(page, "Songs in raw/", SONG)
    page.keyboard.press("Escape")
    upload(page, SONGS, project / "second.wav")
    button(page, "Convert").click()
    expect(page.get_by_text("Done: 2 file")).to_be_visible(timeout=SLOW)
    choose(page, "Result", "my song")
    expect(page.get_by_text("real-time factor").locator("visible=true")).to_be_visible()
    expect(page.get_by_role("img").locator("visible=true").first).to_be_visible(timeout=SLOW)
    fold(page, "Earlier results")
    choose(page, "File in results/", "before.wav")
    expect(page.locator("a[download='before.wav']")).to_be_visible(timeout=SLOW)
    answer = page.request.get(page.locator("a[download='before.wav']").get_attribute("href"))
    assert answer.body() == (project / "second.wav").read_bytes()


def test_a_song_that_lies_too_low_has_its_key_a_button(page, project):
    soundfile.write(project / "raw" / "low.wav", tone(3.0, 110.0), 44100)
    page.reload()
    settle(page)
    voice(page)
    choose(page, "Songs in raw/", "low.wav")
    page.keyboard.press("Escape")
    button(page, "Convert").click()
    expect(page.get_by_text("a key of +24 semitones would fit better")).to_be_visible(timeout=SLOW)
    button(page, "Use the suggested key").click()
    key = page.get_by_label("Key, semitones").locator("visible=true")
    expect(key).to_have_value("24")
    button(page, "Convert").click()
    expect(button(page, "Use the suggested key")).to_be_hidden(timeout=SLOW)
    assert (project / "results/low_24key_anna_glow_pm.flac").is_file()


def test_two_pages_take_turns_and_cancel(page, browser, address, long_song):
    voice(page)
    upload(page, SONGS, long_song)
    button(page, "Convert").click()
    expect(page.get_by_text(re.compile(r"converting long ten.wav · \d+% · [\d:]+ left"))).to_be_visible(
        timeout=SLOW
    )
    other = browser.new_page(locale="en-US")
    other.goto(address)
    settle(other)
    voice(other)
    choose(other, "Songs in raw/", SONG)
    other.keyboard.press("Escape")
    button(other, "Convert").click()
    expect(other.get_by_text("waiting for 1 other job(s)")).to_be_visible(timeout=SLOW)
    button(page, "Cancel").click()
    expect(page.get_by_text("Cancelled.")).to_be_visible(timeout=SLOW)
    expect(other.get_by_text("Done: 1 file")).to_be_visible(timeout=SLOW)
    other.close()


def test_closing_the_page_midway_frees_the_job(page, browser, address, project, long_song):
    leaving = browser.new_page(locale="en-US")
    leaving.goto(address)
    settle(leaving)
    voice(leaving)
    upload(leaving, SONGS, long_song)
    button(leaving, "Convert").click()
    expect(leaving.get_by_text(re.compile("converting long ten"))).to_be_visible(timeout=SLOW)
    button(page, "Unload").click()
    page.get_by_test_id("toast-body").filter(has_text="is in use").first.wait_for()
    leaving.close()
    unloaded(page)
    assert not [path.name for path in (project / "results").iterdir() if "long" in path.name]


@pytest.mark.skipif(not shutil.which("espeak-ng"), reason="espeak-ng is not installed")
def test_text_becomes_a_song(page, project):
    voice(page)
    fold(page, "Text to speech")
    page.get_by_label("Text", exact=True).locator("visible=true").fill("Hello from the page")
    choose(page, "Program", "espeak-ng")
    expect(page.get_by_label("Voice", exact=True).locator("visible=true")).to_have_value(
        "en-us", timeout=SLOW
    )
    button(page, "Add speech to the songs").click()
    expect(page.locator("#songs").get_by_text(re.compile("Hello from"))).to_be_visible(timeout=SLOW)
    button(page, "Convert").click()
    expect(page.get_by_text("Done: 1 file")).to_be_visible(timeout=SLOW)
    assert list((project / "results").glob("Hello from the page_0key_anna*"))


def test_settings_change_the_language(page):
    fold(page, "Settings")
    choose(page, "Language", "简体中文")
    expect(page.get_by_role("tab", name="转换")).to_be_visible(timeout=SLOW)
    page.mouse.click(100, 400)  # beside the settings, which closes them
    button(page, "卸载").click()
    expect(page.get_by_text("模型已卸载")).to_be_visible(timeout=SLOW)
