"""What is wrong is one sentence over a page that stays usable."""

import re

import pytest
import soundfile
from playwright.sync_api import expect

from tests.browser.acts import MODEL, SLOW, SONGS, button, choose, fold, tab, toast, upload
from tests.browser.project import SONG
from tests.support.code_execution_payloads import write_payload

pytestmark = pytest.mark.browser


@pytest.fixture
def ready(page):
    """The page with a model chosen; it must still convert a song at the end."""
    choose(page, "Model", "trained/anna/G_8.pth")
    expect(page.get_by_text("anna", exact=True).locator("visible=true").first).to_be_visible(timeout=SLOW)
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
    choose(page, "Songs in raw/", SONG)
    page.keyboard.press("Escape")
    button(page, "Convert").click()
    expect(page.get_by_text("Done: 1 file")).to_be_visible(timeout=SLOW)


def test_a_text_as_a_song(ready, project):
    (project / "words.wav").write_text("la la la")
    upload(ready, SONGS, project / "words.wav")
    button(ready, "Convert").click()
    toast(ready, "words.wav cannot be read as sound")


def test_an_empty_song(ready, project):
    (project / "nothing.wav").write_bytes(b"")
    upload(ready, SONGS, project / "nothing.wav")
    button(ready, "Convert").click()
    toast(ready, "nothing.wav is empty (0 bytes)")


def test_an_hour_of_song(ready, project):
    path = project / "an hour.wav"
    with soundfile.SoundFile(path, "w", 8000, 1) as file:
        for _ in range(60):
            file.write([0.1, -0.1] * (4000 * 60))
    upload(ready, SONGS, path)
    button(ready, "Convert").click()
    toast(ready, "These songs last 60 minutes")
    ready.get_by_text("converting an hour.wav").wait_for(timeout=SLOW)
    button(ready, "Cancel").click()
    expect(ready.get_by_text("Cancelled.")).to_be_visible(timeout=SLOW)


def test_a_hostile_model(ready, project):
    folder = project / "outside"
    folder.mkdir(exist_ok=True)
    write_payload(folder / "G_evil.pth", "pickle", project / "trace")
    fold(ready, "Upload a model")
    upload(ready, MODEL, folder / "G_evil.pth", project / "trained/anna/config.json")
    expect(ready.get_by_label("Model", exact=True).locator("visible=true").first).to_have_value(
        re.compile("G_evil"), timeout=SLOW
    )
    button(ready, "Load").click()
    toast(ready, "os.system")
    assert not (project / "trace").exists()


def test_a_configuration_outside_the_folders(ready):
    field = ready.get_by_label("Configuration").locator("visible=true").first
    field.fill("/etc/passwd")
    button(ready, "Load").click()
    toast(ready, "/etc/passwd is not in the project folder")
    field.fill("trained/anna/config.json")
