"""Actions of a user on visible elements of the page."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

SLOW = 120_000  # ms, for computations
SONGS, MODEL = "#songs", "#voice-files"  # upload fields


def tab(page: Page, *names: str) -> None:
    """Open a tab, and the tabs in it."""
    for name in names:
        page.get_by_role("tab", name=name, exact=True).locator("visible=true").click()


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True).locator("visible=true")


def field(page: Page, label: str, exact: bool = False) -> Locator:
    """The first visible field with a label."""
    return page.get_by_label(label, exact=exact).locator("visible=true").first


def see(page: Page, words: str | re.Pattern[str], exact: bool = False) -> None:
    """Wait until words are visible."""
    expect(page.get_by_text(words, exact=exact).locator("visible=true").first).to_be_visible()


def status(page: Page, words: str) -> None:
    """Wait for the status of a script."""
    expect(page.locator("b", has_text=words).locator("visible=true")).to_be_visible()


def fold(page: Page, name: str) -> None:
    """Open or close an accordion."""
    page.get_by_role("button").filter(has_text=name).locator("visible=true").first.click()


def choose(page: Page, label: str, option: str) -> None:
    field(page, label, exact=True).click()
    page.get_by_role("option").filter(has_text=option).locator("visible=true").first.click()


def pick_voice(page: Page) -> None:
    """Choose a voice model and wait for its configuration and speakers."""
    choose(page, "Model", "trained/anna/G_8.pth")
    expect(field(page, "Configuration")).to_have_value("trained/anna/config.json")
    see(page, "anna", exact=True)


def pick_song(page: Page, name: str) -> None:
    choose(page, "Songs in raw/", name)
    page.keyboard.press("Escape")


def pick_models(page: Page, *names: str) -> None:
    for name in names:
        choose(page, "Models", f"trained/{name}/G_8.pth")
    page.keyboard.press("Escape")


def convert(page: Page, count: int = 1) -> None:
    button(page, "Convert").click()
    see(page, f"Done: {count} file")


def upload(page: Page, place: str, *files: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.locator(place).get_by_role("button", name="Click to upload or drop files").click()
    chooser.value.set_files(list(files))
    for file in files:
        page.locator(place).get_by_text(file.stem[:8]).first.wait_for()


def make_cover(page: Page, mix: Path) -> None:
    """Make a cover of a mix, with the tab Cover open."""
    upload(page, "#cover-song", mix)
    choose(page, "Voice model", "trained/anna/G_8.pth")
    expect(field(page, "Speaker", exact=True)).to_have_value("anna")
    choose(page, "Separator", "centre")
    field(page, "Dry").check()
    button(page, "Make the cover").click()
    status(page, "running")  # and not done, as the one before
    status(page, "done")


def toast(page: Page, text: str) -> None:
    """Wait for a toast with ``text``, which must be one sentence."""
    found = page.get_by_test_id("toast-body").filter(has_text=text).first
    found.wait_for(timeout=SLOW)
    assert "Traceback" not in found.inner_text()
