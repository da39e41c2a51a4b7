"""Pictures of each tab for the documents, at the width of a desk and of a phone: docs/pictures/webui-*.png.

Run:  python -m pytest tests/browser/screenshots.py [-k NAME]
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from playwright.sync_api import Page

from tests.browser.acts import (
    button,
    choose,
    convert,
    make_cover,
    pick_models,
    pick_song,
    pick_voice,
    see,
    tab,
)
from tests.browser.project import ROOT, SONG
from tests.inference.cover.songs import write_mix


def _convert(page: Page) -> None:
    pick_voice(page)
    pick_song(page, SONG)
    convert(page)
    page.locator("img[src*='/file=']").locator("visible=true").wait_for()  # the picture
    page.wait_for_timeout(3000)


def _editor(page: Page) -> None:
    pick_voice(page)
    pick_song(page, SONG)
    button(page, "Edit the pitch").click()
    canvas = page.locator(".pitch-canvas")
    canvas.press("r")
    see(page, "Slices rendered: ")
    page.get_by_label("Shown and played").select_option("source")
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "ArrowUp"):
        canvas.press(key)
    see(page, "Slices to be rendered: 1")


def _cover(page: Page) -> None:
    tab(page, "Cover")
    with TemporaryDirectory() as folder:
        make_cover(page, write_mix(Path(folder) / "my mix.wav", 6.0))
    page.wait_for_function("glowCover.state() !== null")
    page.locator("img[src*='/file=']").locator("visible=true").wait_for()  # the picture


def _live(page: Page) -> None:
    tab(page, "Live")
    choose(page, "Voice model", "trained/anna/G_8.pth")
    button(page, "Start").click()
    see(page, re.compile(r"[1-9]\d* s · latency \d+ ms, measured"))


def _dataset(page: Page) -> None:
    tab(page, "Dataset")
    button(page, "Report").click()
    page.locator("svg[role=img]").locator("visible=true").first.wait_for()


def _training(page: Page) -> None:
    tab(page, "Training")
    if page.get_by_role("button", name="Pause").locator("visible=true").count() == 0:
        button(page, "Train").click()
    see(page, "Latest validation")


def _mix(page: Page) -> None:
    tab(page, "Lab")
    pick_models(page, "anna", "花子")
    see(page, "Shares:")


def _tracks(page: Page) -> None:
    tab(page, "Lab", "Mix along the song")
    choose(page, "Voice model", "trained/anna/G_8.pth")
    see(page, "This mix is valid")
    button(page, "Split the last segment").click()


SCENES: dict[str, Callable[[Page], None]] = {
    "convert": _convert,
    "editor": _editor,
    "cover": _cover,
    "live": _live,
    "dataset": _dataset,
    "training": _training,
    "lab-mix": _mix,
    "lab-tracks": _tracks,
    "lab-compress": lambda page: tab(page, "Lab", "Compress"),
    "lab-onnx": lambda page: tab(page, "Lab", "ONNX"),
    "lab-weights": lambda page: tab(page, "Lab", "Weights"),
}


SIZES = [{"width": 1280, "height": 900}, {"width": 390, "height": 844}]  # pixels


@pytest.mark.parametrize(
    "page", [{"viewport": size, "permissions": ["microphone"]} for size in SIZES], indirect=True
)
@pytest.mark.parametrize("scene", SCENES)
def test_picture(page: Page, scene: str) -> None:
    SCENES[scene](page)
    page.wait_for_timeout(2500)
    width = page.evaluate("window.innerWidth")
    path = ROOT / f"docs/pictures/webui-{scene}-{width}.png"
    shown = page.locator("#pitch-editor") if scene == "editor" else page
    shown.screenshot(path=path, **({} if scene == "editor" else {"full_page": True}))
