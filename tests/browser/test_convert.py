"""Songs through the tab Convert: several, in turn, given up, too low, those of before; and what is wrong."""

import re
import shutil

import numpy as np
import pytest
import soundfile
from playwright.sync_api import expect

from tests.browser.acts import (
    MODEL,
    SONGS,
    button,
    choose,
    convert,
    field,
    fold,
    pick_song,
    pick_voice,
    see,
    tab,
    toast,
    upload,
)
from tests.browser.conftest import settle
from tests.browser.project import SONG
from tests.support.code_execution_payloads import write_payload
from tests.webui.server import tone

pytestmark = pytest.mark.browser


def test_several_songs_at_once_and_those_of_before(page, project):
    soundfile.write(project / "second.wav", tone(2.0), 44100)
    (project / "results").mkdir(exist_ok=True)
    shutil.copyfile(project / "second.wav", project / "results" / "before.wav")
    pick_voice(page)
    pick_song(page, SONG)
    upload(page, SONGS, project / "second.wav")
    convert(page, 2)
    choose(page, "Result", "my song")
    see(page, "real-time factor")
    expect(page.get_by_role("img").locator("visible=true").first).to_be_visible()
    fold(page, "Earlier results")
    choose(page, "File in results/", "before.wav")
    expect(page.locator("a[download='before.wav']")).to_be_visible()
    answer = page.request.get(page.locator("a[download='before.wav']").get_attribute("href"))
    assert answer.body() == (project / "second.wav").read_bytes()


def test_a_song_that_lies_too_low_has_its_key_a_button(page, project):
    soundfile.write(project / "raw" / "low.wav", tone(3.0, 110.0), 44100)
    page.reload()
    settle(page)
    pick_voice(page)
    pick_song(page, "low.wav")
    button(page, "Convert").click()
    see(page, "a key of +24 semitones would fit better")
    button(page, "Use the suggested key").click()
    expect(field(page, "Key, semitones")).to_have_value("24")
    button(page, "Convert").click()
    expect(button(page, "Use the suggested key")).to_be_hidden()
    assert (project / "results/low_24key_anna_glow_swift-f0.flac").is_file()


def test_two_pages_take_turns_and_closing_one_frees_the_model(page, browser, address, project):
    path = project / "long ten.wav"
    soundfile.write(path, np.tile(tone(5.0), 120), 44100)  # ten minutes, which take a while to convert
    leaving = browser.new_page(locale="en-US")
    leaving.goto(address)
    settle(leaving)
    pick_voice(leaving)
    upload(leaving, SONGS, path)
    button(leaving, "Convert").click()
    see(leaving, re.compile(r"converting long ten.wav · \d+% · [\d:]+ left"))
    button(page, "Unload").click()
    toast(page, "is in use")
    pick_voice(page)
    pick_song(page, SONG)
    button(page, "Convert").click()
    see(page, "waiting for 1 other job(s)")
    leaving.close()
    see(page, "Done: 1 file")
    button(page, "Unload").click()
    see(page, "The model is unloaded")
    assert not [path.name for path in (project / "results").iterdir() if "long" in path.name]


@pytest.mark.skipif(not shutil.which("espeak-ng"), reason="espeak-ng is not installed")
def test_text_becomes_a_song(page, project):
    pick_voice(page)
    fold(page, "Text to speech")
    field(page, "Text", exact=True).fill("Hello from the page")
    choose(page, "Program", "espeak-ng")
    expect(field(page, "Voice", exact=True)).to_have_value("en-us")
    button(page, "Add speech to the songs").click()
    expect(page.locator("#songs").get_by_text(re.compile("Hello from"))).to_be_visible()
    convert(page)
    assert list((project / "results").glob("Hello from the page_0key_anna*"))


def test_settings_change_the_language(page):
    fold(page, "Settings")
    choose(page, "Language", "简体中文")
    expect(page.get_by_role("tab", name="转换")).to_be_visible()
    page.mouse.click(100, 400)  # beside the settings, which closes them
    button(page, "卸载").click()
    see(page, "模型已卸载")


@pytest.fixture
def ready(page):
    """The page with a model chosen; it must still convert a song at the end."""
    pick_voice(page)
    yield page
    expect(page.locator("progress").locator("visible=true")).to_have_count(0)
    tab(page, "Dataset")
    expect(button(page, "Report")).to_be_enabled()
    tab(page, "Convert")
    choose(page, "Model", "trained/anna/G_8.pth")
    clear = page.locator("#songs").get_by_role("button", name="Clear")
    if clear.count():
        clear.click()
        clear.wait_for(state="detached")
    pick_song(page, SONG)
    convert(page)


def test_an_hour_of_song(ready, project):
    path = project / "an hour.wav"
    with soundfile.SoundFile(path, "w", 8000, 1) as file:
        for _ in range(60):
            file.write([0.1, -0.1] * (4000 * 60))
    upload(ready, SONGS, path)
    button(ready, "Convert").click()
    toast(ready, "These songs last 60 minutes")
    see(ready, "converting an hour.wav")
    button(ready, "Cancel").click()
    see(ready, "Cancelled.")


def test_a_hostile_model(ready, project):
    folder = project / "outside"
    folder.mkdir(exist_ok=True)
    write_payload(folder / "G_evil.pth", "pickle", project / "trace")
    fold(ready, "Upload a model")
    upload(ready, MODEL, folder / "G_evil.pth", project / "trained/anna/config.json")
    expect(field(ready, "Model", exact=True)).to_have_value(re.compile("G_evil"))
    button(ready, "Load").click()
    toast(ready, "os.system")
    assert not (project / "trace").exists()
