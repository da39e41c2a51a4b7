"""Pictures of each tab for the documents, at the width of a desk and of a phone: docs/pictures/webui-*.png.

Run:  python -m tests.browser.screenshots [--only NAME ...]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tests.browser.acts import SLOW, button, choose, tab
from tests.browser.project import ROOT, SONG, find_chromium, make_project, serve

if TYPE_CHECKING:
    from playwright.sync_api import Page

WIDTHS = {1280: 900, 390: 844}  # pixels: width and height of the window
FOLDER = ROOT / "docs" / "pictures"


def _convert(page: Page) -> None:
    choose(page, "Model", "trained/anna/G_8.pth")
    choose(page, "Songs in raw/", SONG)
    page.keyboard.press("Escape")
    page.get_by_text("anna", exact=True).locator("visible=true").first.wait_for()  # its speakers
    button(page, "Convert").click()
    page.get_by_text("Done: 1 file").wait_for(timeout=SLOW)
    page.locator("img[src*='/file=']").locator("visible=true").wait_for(timeout=SLOW)  # the picture
    page.wait_for_timeout(3000)


def _dataset(page: Page) -> None:
    tab(page, "Dataset")
    button(page, "Report").click()
    page.locator("svg[role=img]").locator("visible=true").first.wait_for(timeout=SLOW)


def _training(page: Page) -> None:
    tab(page, "Training")
    if page.get_by_role("button", name="Pause").locator("visible=true").count() == 0:
        button(page, "Train").click()
    page.get_by_text("Latest validation").locator("visible=true").wait_for(timeout=SLOW)


def _mix(page: Page) -> None:
    tab(page, "Lab")
    for name in ("anna", "花子"):
        choose(page, "Models", f"trained/{name}/G_8.pth")
    page.keyboard.press("Escape")
    page.get_by_text("Shares:").wait_for(timeout=SLOW)


def _tracks(page: Page) -> None:
    tab(page, "Lab", "Mix along the song")
    choose(page, "Voice model", "trained/anna/G_8.pth")
    page.get_by_text("This mix is valid").wait_for(timeout=SLOW)
    button(page, "Split the last segment").click()


def _lab(name: str) -> Callable[[Page], None]:
    return lambda page: tab(page, "Lab", name)


SCENES: dict[str, Callable[[Page], None]] = {
    "convert": _convert,
    "dataset": _dataset,
    "training": _training,
    "lab-mix": _mix,
    "lab-tracks": _tracks,
    "lab-compress": _lab("Compress"),
    "lab-onnx": _lab("ONNX"),
    "lab-weights": _lab("Weights"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Write the pictures; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=SCENES, default=list(SCENES), help="some of them")
    parser.add_argument("--output", type=Path, default=FOLDER, help="where to (%(default)s)")
    args = parser.parse_args(argv)
    from playwright.sync_api import sync_playwright

    from tests.browser.conftest import settle

    args.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, serve(make_project(Path(folder) / "songs")) as address:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
            for width, height in WIDTHS.items():
                for name in args.only:
                    page = browser.new_page(
                        viewport={"width": width, "height": height}, locale="en-US", color_scheme="light"
                    )
                    page.set_default_timeout(SLOW)
                    page.goto(address)
                    settle(page)
                    SCENES[name](page)
                    page.wait_for_timeout(2500)
                    wide = page.evaluate("document.documentElement.scrollWidth")
                    path = args.output / f"webui-{name}-{width}.png"
                    page.screenshot(path=path, full_page=True)
                    print(path, "" if wide <= width else f"is {wide} pixels wide", flush=True)
                    page.close()
            browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
