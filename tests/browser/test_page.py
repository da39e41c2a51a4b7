"""The whole way through the page, in a browser."""

import json
import re

import pytest
import soundfile
from playwright.sync_api import expect

from tests.browser.acts import SLOW, SONGS, button, choose, fold, tab, toast, upload
from tests.browser.project import SINGER, SONG

pytestmark = pytest.mark.browser


def test_a_voice_is_loaded_and_a_song_comes_back(page, project):
    choose(page, "Model", "trained/anna")
    button(page, "Load").click()
    expect(page.get_by_text(re.compile(r"G_8\.pth")).locator("visible=true").first).to_be_visible(
        timeout=SLOW
    )
    upload(page, SONGS, project / "raw" / SONG)
    button(page, "Convert").click()
    expect(page.get_by_text("Done: 1 file")).to_be_visible(timeout=SLOW)
    link = page.locator("a[download][href$='.flac']").locator("visible=true").last
    link.wait_for()
    with page.expect_download() as download:
        link.click()
    assert "anna" in download.value.suggested_filename
    audio, rate = soundfile.read(download.value.path())
    song = soundfile.info(project / "raw" / SONG)
    assert (rate, len(audio)) == (44100, song.frames) and abs(audio).max() > 0.001
    assert any((project / "results").glob("*anna*.flac"))
    button(page, "Unload").click()


def test_a_hostile_model_is_a_sentence(page, project):
    choose(page, "Model", "trained/broken")
    button(page, "Load").click()
    expect(page.get_by_test_id("toast-body").first).to_be_visible(timeout=SLOW)
    assert not (project / "hacked").exists()
    tab(page, "Dataset")
    expect(button(page, "Report")).to_be_enabled()


class TestLanguage:
    @pytest.fixture
    def locale(self):
        return "zh-CN"

    def test_a_chinese_browser_gets_chinese(self, page):
        expect(page.get_by_role("tab", name="转换")).to_be_visible()
        tab(page, "数据集")
        button(page, "检查数据集").click()
        expect(page.get_by_text("共 8 条录音")).to_be_visible(timeout=SLOW)
        tab(page, "训练", "聚类与检索")
        expect(button(page, "生成聚类")).to_be_visible()
        tab(page, "实验室")
        expect(button(page, "混合")).to_be_visible()


class TestPhone:
    @pytest.fixture
    def width(self):
        return 390

    def test_no_tab_is_wider_than_a_phone(self, page):
        for name in ("Convert", "Dataset", "Training", "Lab"):
            tab(page, name)
            page.wait_for_timeout(500)
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, name


def test_the_data_set_is_looked_at_and_made(page, project):
    tab(page, "Dataset")
    button(page, "Report").click()
    expect(page.get_by_text("8 recordings, 1.0 minutes")).to_be_visible(timeout=SLOW)
    expect(page.locator("svg[role=img]").locator("visible=true")).to_have_count(2)
    expect(page.get_by_text(SINGER).locator("visible=true").first).to_be_visible()
    choose(page, "Recording", f"{SINGER}/02")
    button(page, "Run step 1").click()
    expect(page.locator("b", has_text="done").locator("visible=true")).to_be_visible(timeout=SLOW)
    fold(page, "Output")
    said = page.locator("textarea").locator("visible=true").last
    expect(said).to_have_value(re.compile("8 of 8 recordings are done already"))
    assert json.loads((project / "logs/webui/dataset.json").read_text())["code"] == 0


def test_a_folder_outside_is_a_toast(page):
    tab(page, "Dataset")
    folder = page.get_by_label("Folder of recordings").locator("visible=true")
    folder.fill("/etc")
    folder.press("Enter")
    button(page, "Report").click()
    toast(page, "/etc is not in the project folder")
    expect(button(page, "Report")).to_be_enabled()


def test_a_training_is_started_found_again_paused_and_stopped(page, project):
    tab(page, "Training")
    name = page.get_by_label("Name of the run").locator("visible=true")
    name.fill("page")
    button(page, "Train").click()
    status = page.locator("b").locator("visible=true")
    expect(status.filter(has_text="running")).to_be_visible(timeout=SLOW)
    expect(page.get_by_text("python train.py --model=page").locator("visible=true")).to_be_visible()
    expect(page.get_by_role("progressbar").locator("visible=true")).to_be_visible(timeout=SLOW)

    page.reload()
    tab(page, "Training")
    expect(status.filter(has_text="running")).to_be_visible(timeout=SLOW)
    page.get_by_label("Name of the run").locator("visible=true").fill("page")
    expect(page.get_by_text("Latest validation").locator("visible=true")).to_be_visible(timeout=SLOW)
    expect(page.locator(".vega-embed canvas, .vega-embed svg").locator("visible=true").first).to_be_visible()

    button(page, "Pause").click()
    expect(status.filter(has_text="paused")).to_be_visible(timeout=SLOW)
    button(page, "Resume").click()
    expect(status.filter(has_text="running")).to_be_visible(timeout=SLOW)
    fold(page, "Audio of the validation clips")
    button(page, "Load the newest audio").click()
    expect(page.get_by_label("Clip", exact=True).locator("visible=true")).to_have_value("0", timeout=SLOW)

    button(page, "Train").click()
    toast(page, "train.py is running already")
    button(page, "Stop (saves first)").click()
    expect(status.filter(has_text="stopped")).to_be_visible(timeout=SLOW)
    assert list((project / "logs/page").glob("G_*.pth"))
    assert (project / "logs/page/metrics.csv").is_file()


def test_a_training_that_cannot_be_is_a_sentence(page, project):
    tab(page, "Training")
    fold(page, "More settings")
    page.get_by_label("Configuration").locator("visible=true").fill("configs/none.json")
    button(page, "Train").click()
    expect(page.locator("b", has_text="failed").locator("visible=true")).to_be_visible(timeout=SLOW)
    expect(page.get_by_text("configs/none.json").locator("visible=true").last).to_be_visible()


def test_a_base_model_that_does_not_fit_is_a_sentence(page, project):
    tab(page, "Training")
    page.get_by_label("Name of the run").locator("visible=true").fill("based")
    choose(page, "Base model", "starter")
    button(page, "Train").click()
    expect(page.locator("b", has_text="failed").locator("visible=true")).to_be_visible(timeout=SLOW)
    expect(page.get_by_text("does not fit its model").locator("visible=true").last).to_be_visible()
    assert not (project / "logs/based/config.json").exists()


def test_voices_are_mixed(page, project):
    tab(page, "Lab")
    for name in ("anna", "花子"):
        choose(page, "Models", f"trained/{name}")
    page.keyboard.press("Escape")
    expect(page.get_by_text("Shares: 50.0%")).to_be_visible(timeout=SLOW)
    page.get_by_label("Result").locator("visible=true").fill("trained/mixed/G_0.pth")
    page.get_by_label("Copy configuration").locator("visible=true").check()
    button(page, "Mix").click()
    expect(page.get_by_text("Written: trained/mixed/G_0.pth")).to_be_visible(timeout=SLOW)
    assert (project / "trained/mixed/config.json").is_file()


def test_models_that_do_not_fit_are_a_toast(page, project):
    from tests.inference.tiny import write_model

    write_model(project / "trained/larger", hidden_channels=32)
    tab(page, "Lab")
    button(page, "Refresh").click()
    for name in ("anna", "larger"):
        choose(page, "Models", f"trained/{name}")
    page.keyboard.press("Escape")
    button(page, "Mix").click()
    toast(page, "only models with equal model sections can be mixed")


def test_tracks_are_edited_and_saved(page, project):
    tab(page, "Lab", "Mix along the song")
    choose(page, "Voice model", "trained/anna")
    expect(page.get_by_text("This mix is valid")).to_be_visible(timeout=SLOW)
    button(page, "Split the last segment").click()
    expect(page.get_by_text("0.5", exact=True).locator("visible=true").first).to_be_visible()
    cells = page.get_by_role("grid", name="Tracks").get_by_role("gridcell")
    cells.filter(has_text=re.compile(r"^\s*0\.5\s*$")).first.dblclick()
    editor = cells.locator("input, textarea").locator("visible=true")
    editor.fill("0.4")
    editor.press("Enter")
    expect(page.get_by_text("it must start at 0.4")).to_be_visible(timeout=SLOW)
    button(page, "Cross-fade").click()
    expect(page.get_by_text("This mix is valid")).to_be_visible(timeout=SLOW)
    button(page, "Save").click()
    toast(page, "Saved as configs/mixes/mix.json")
    tracks = json.loads((project / "configs/mixes/mix.json").read_text(encoding="utf-8"))
    assert tracks == {"anna": [[0.0, 1.0, 1.0, 0.0]], "花子": [[0.0, 1.0, 0.0, 1.0]]}


def test_a_model_is_compressed(page, project):
    tab(page, "Lab", "Compress")
    choose(page, "Model", "trained/anna")
    page.get_by_label("Half precision").locator("visible=true").check()
    button(page, "Compress").click()
    expect(page.get_by_text("Written: trained/anna/G_8_release.pth")).to_be_visible(timeout=SLOW)
    assert (project / "trained/anna/G_8_release.pth").is_file()


def test_a_voice_is_exported(page, project):
    tab(page, "Lab", "ONNX")
    fold(page, "Import a trained model")
    choose(page, "Model", "trained/anna/G_8.pth")
    page.get_by_label("Name", exact=True).locator("visible=true").fill("anna")
    button(page, "Copy").click()
    toast(page, "Copied to checkpoints/anna")
    page.get_by_label("Check", exact=True).locator("visible=true").check()
    button(page, "Export").click()
    expect(page.locator("b", has_text="done").locator("visible=true")).to_be_visible(timeout=SLOW)
    expect(page.get_by_text("largest difference of 'mel'").locator("visible=true").first).to_be_visible()
    assert (project / "checkpoints/anna/model.onnx").is_file()


def test_weights_are_listed_and_checked(page):
    tab(page, "Lab", "Weights")
    button(page, "Download").click()
    toast(page, "choose weights to download first")
    button(page, "Verify downloaded files").click()
    expect(page.locator("b", has_text="done").locator("visible=true")).to_be_visible(timeout=SLOW)
    fold(page, "List")
    expect(page.get_by_text("NSF-HiFiGAN, the default vocoder").locator("visible=true").first).to_be_visible()
