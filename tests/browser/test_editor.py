"""The pitch editor: drawn, undone, snapped, moved, rendered and played, with mouse, keys and fingers."""

import pytest
from playwright.sync_api import expect

from tests.browser.acts import SLOW, button, pick_song, pick_voice
from tests.browser.project import SONG

pytestmark = pytest.mark.browser
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.fixture
def editor(page):
    """The page with its song open in the editor."""
    pick_voice(page)
    pick_song(page, SONG)
    button(page, "Edit the pitch").click()
    page.locator(".pitch-canvas").wait_for(timeout=SLOW)
    told(page, "Blue is the song's pitch")
    return page


def told(page, words):
    expect(page.locator(".pitch-status")).to_contain_text(words)


def state(page, what):
    """A value of the open song or its view."""
    return page.evaluate(f"glowEditor.current.{what}")


def place(page, frame, pitch):
    """Where on the screen a pitch of a frame is."""
    box = page.locator(".pitch-canvas").bounding_box()
    x, y = page.evaluate(
        "([f, p]) => { const v = glowEditor.current.view; return [v.x(f), v.y(p)]; }", [frame, pitch]
    )
    return box["x"] + x, box["y"] + y


def drag(page, *places):
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up()


def first_note(page):
    """Frames and pitch of a note in sight that lasts."""
    rate = state(page, "song.frameRate")
    start, end, pitch = max(state(page, "song.notes"), key=lambda note: (note[0] < 3) * (note[1] - note[0]))
    return round(start * rate), round(end * rate), pitch


def render(page):
    page.locator(".pitch-canvas").press("r")
    told(page, "Slices rendered: ")
    assert state(page, "song.stale") == []


def shows_a_song(page):
    """Whether the canvas has colours of a mel, and both curves."""
    count = page.evaluate(
        """() => {
          const canvas = document.querySelector(".pitch-canvas"), found = new Set();
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          for (let i = 0; i < data.length; i += 4) found.add(data[i] << 16 | data[i + 1] << 8 | data[i + 2]);
          return found.size;
        }"""
    )
    return count > 300


def test_a_pitch_is_drawn_undone_and_rendered(editor):
    page, canvas = editor, editor.locator(".pitch-canvas")
    page.wait_for_timeout(1500)
    assert shows_a_song(page)
    render(page)
    expect(page.get_by_label("Shown and played")).to_have_value("result")
    before = state(page, "song.f0")
    first, last, pitch = first_note(page)
    button(page, "Draw").click()
    drag(page, place(page, first + 5, pitch + 3), place(page, first + 25, pitch + 4))
    told(page, "Slices to be rendered: 1")
    drawn = state(page, "song.f0")
    expected = 440 * 2 ** ((pitch + 3.5 - 69) / 12)
    assert drawn[first + 15] == pytest.approx(expected, rel=0.02)
    assert drawn[: first + 4] == before[: first + 4] and drawn[first + 27 :] == before[first + 27 :]
    canvas.press("Control+z")
    told(page, "Slices to be rendered: 0")
    assert state(page, "song.f0") == before
    canvas.press("Control+y")
    told(page, "Slices to be rendered: 1")
    assert state(page, "song.f0") == drawn
    render(page)
    expect(button(page, "Render")).to_be_disabled()
    button(page, "Erase").click()
    drag(page, place(page, first + 5, pitch), place(page, first + 25, pitch))
    told(page, "Slices to be rendered: 1")
    assert not any(state(page, "song.f0")[first + 6 : first + 24])
    canvas.press("Control+z")


def test_notes_are_chosen_moved_and_snapped(editor):
    page, canvas = editor, editor.locator(".pitch-canvas")
    first, last, pitch = first_note(page)
    page.mouse.click(*place(page, (first + last) / 2, pitch))
    assert state(page, "view.selection") == [first, last]
    drag(page, place(page, (first + last) / 2, pitch), place(page, (first + last) / 2, pitch + 2))
    told(page, "Slices to be rendered")
    middle = (first + last) // 2
    before, after = state(page, "song.source")[middle], state(page, "song.f0")[middle]
    assert after / before == pytest.approx(2 ** (2 / 12), rel=1e-3)
    canvas.press("Shift+ArrowDown")
    page.wait_for_function(f"glowEditor.current.song.f0[{middle}] < {before}")
    button(page, "Mend octaves").click()
    page.wait_for_function(f"glowEditor.current.song.f0[{middle}] > {before}")
    page.get_by_label("Scale of the result").select_option("C:maj")
    canvas.press("s")
    page.wait_for_function("glowEditor.current.song.undo === 4")
    note = min(
        state(page, "song.notes"), key=lambda note: abs(note[0] * state(page, "song.frameRate") - first)
    )
    assert round(note[2]) % 12 in (0, 2, 4, 5, 7, 9, 11) and abs(note[2] - round(note[2])) < 0.1
    vibrato = page.get_by_label("Vibrato")
    vibrato.fill("0")
    vibrato.dispatch_event("change")
    page.wait_for_function("glowEditor.current.song.undo === 5")
    expect(vibrato).to_have_value("100")
    canvas.press("Escape")
    canvas.press("ArrowRight")
    told(page, "Note ")
    assert state(page, "view.selection")[0] == round(
        state(page, "song.notes")[0][0] * state(page, "song.frameRate")
    )


def test_it_plays_from_here(editor):
    page, canvas = editor, editor.locator(".pitch-canvas")
    box = canvas.bounding_box()
    x, _ = place(page, 100, 60)
    page.mouse.click(x, box["y"] + 5)  # the ruler
    assert state(page, "view.head") == pytest.approx(100, abs=2)
    canvas.press(" ")
    page.wait_for_function("glowEditor.current.view.head > 120")
    expect(button(page, "Stop")).to_have_count(1)
    page.wait_for_function("!glowEditor.current.sound.run")  # the end of the song
    expect(button(page, "Play")).to_be_visible()


def test_the_pitch_is_a_file_and_the_result_another(editor, project):
    page = editor
    with page.expect_download() as download:
        button(page, "Export").click()
    assert download.value.suggested_filename.endswith(".f0.csv")
    lines = download.value.path().read_text().splitlines()
    assert lines[0] == "time,f0,voiced" and len(lines) == len(state(page, "song.f0")) + 1
    file = project / "edited.f0.csv"
    file.write_text("1.0,300\n1.1,300\n")
    page.locator("#pitch-editor input[type=file]").set_input_files(file)
    told(page, "Slices to be rendered")
    assert state(page, "song.f0")[round(1.05 * state(page, "song.frameRate"))] == 300
    with page.expect_download() as download:
        button(page, "Save").click()
    told(page, "Saved as results/my song 歌_edited_0key_anna_glow_swift-f0.flac")
    written = project / "results" / download.value.suggested_filename
    assert download.value.path().read_bytes() == written.read_bytes()


@pytest.mark.parametrize("page", [PHONE], indirect=True)
def test_fingers_draw_and_pinch_on_a_phone(editor):
    page = editor
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator(".pitch-canvas").scroll_into_view_if_needed()
    touch = page.context.new_cdp_session(page)

    def fingers(kind, *places):
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    first, _, pitch = first_note(page)
    button(page, "Draw").tap()
    page.locator(".pitch-canvas").scroll_into_view_if_needed()
    before = state(page, "song.f0")
    fingers("touchStart", place(page, first + 5, pitch + 2))
    for step in range(6, 30, 3):
        fingers("touchMove", place(page, first + step, pitch + 2))
    fingers("touchEnd")
    told(page, "Slices to be rendered")
    assert state(page, "song.f0")[first + 15] != before[first + 15]
    zoom, undo = state(page, "view.zoom"), state(page, "song.undo")
    x, y = place(page, first + 30, pitch)
    fingers("touchStart", (x - 20, y), (x + 20, y))
    for wide in range(25, 100, 15):
        fingers("touchMove", (x - wide, y), (x + wide, y))
    fingers("touchEnd")
    assert state(page, "view.zoom") > 1.5 * zoom and state(page, "song.undo") == undo


@pytest.mark.parametrize("page", [{"locale": "zh-CN"}], indirect=True)
def test_a_chinese_browser_gets_chinese(page):
    page.get_by_label("模型", exact=True).locator("visible=true").first.click()
    page.get_by_role("option").filter(has_text="trained/anna/G_8.pth").locator("visible=true").first.click()
    page.get_by_label("raw/ 中的歌曲", exact=True).locator("visible=true").first.click()
    page.get_by_role("option").filter(has_text=SONG).locator("visible=true").first.click()
    page.keyboard.press("Escape")
    button(page, "编辑音高").click()
    told(page, "蓝线是歌曲的音高")
    expect(button(page, "撤销")).to_be_disabled()


def test_another_song_and_a_closed_page_free_the_first(editor):
    page, address = editor, editor.url
    first = state(page, "server.headers")

    def status(headers):
        return page.request.get(f"{address}editor/song", headers=headers).status

    assert status(first) == 200
    button(page, "Edit the pitch").click()
    page.wait_for_function(
        f"glowEditor.current?.server.headers['x-editor-ticket'] !== '{first['x-editor-ticket']}'"
    )
    told(page, "Blue is")
    second = state(page, "server.headers")
    assert (status(first), status(second)) == (400, 200)
    page.goto("about:blank")
    for _ in range(100):
        if status(second) == 400:
            break
        page.wait_for_timeout(200)
    assert status(second) == 400
