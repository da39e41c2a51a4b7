"""The tab Cover: a mix becomes a cover, its parts are heard, and the sliders act at once."""

import pytest
from playwright.sync_api import expect

from tests.browser.acts import button, field, make_cover, see, tab, toast
from tests.inference.cover.songs import write_mix

pytestmark = pytest.mark.browser


def test_a_cover_is_made_heard_and_mixed(page, project):
    mix = write_mix(project / "my mix.wav")
    tab(page, "Cover")
    button(page, "Make the cover").click()
    toast(page, "choose a song first")
    make_cover(page, mix)
    expect(field(page, "Cover", exact=True)).to_have_value("my mix_0key_anna_glow_swift-f0_lea0_cover")
    players = page.locator("#cover-mixer audio")
    expect(players).to_have_count(6)
    see(page, "Lead of the original")
    page.wait_for_function("glowCover.state() !== null")
    button(page, "Play the mix").click()
    page.wait_for_function("glowCover.state().playing")
    assert page.evaluate("glowCover.state().gains") == pytest.approx([1, 1, 1])
    number = page.locator("#cover-instrumental_level input[type=number]")
    number.fill("-20")
    number.blur()
    page.wait_for_function("Math.abs(glowCover.state().gains[2] - 0.1) < 1e-6")
    button(page, "Pause").click()
    page.wait_for_function("!glowCover.state().playing")
    assert (project / "results/my mix_0key_anna_glow_swift-f0_lea0_cover/picture.png").is_file()
