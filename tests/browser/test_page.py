"""The whole way through the page, in a browser."""

import json
import re

import pytest
import soundfile
from playwright.sync_api import expect

from tests.browser.acts import (
    SONGS,
    button,
    choose,
    convert,
    field,
    fold,
    pick_models,
    see,
    status,
    tab,
    toast,
    upload,
)
from tests.browser.project import SINGER, SONG
from tests.inference.tiny import write_model

pytestmark = pytest.mark.browser


def test_a_voice_is_loaded_and_a_song_comes_back(page, project):
    choose(page, "Model", "trained/anna")
    button(page, "Load").click()
    see(page, re.compile(r"G_8\.pth"))
    upload(page, SONGS, project / "raw" / SONG)
    convert(page)
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


@pytest.mark.parametrize("page", [{"locale": "zh-CN"}], indirect=True)
def test_a_chinese_browser_gets_chinese(page):
    expect(page.get_by_role("tab", name="转换")).to_be_visible()
    tab(page, "数据集")
    button(page, "检查数据集").click()
    see(page, "共 8 条录音")
    tab(page, "训练", "聚类与检索")
    expect(button(page, "生成聚类")).to_be_visible()
    tab(page, "实验室")
    expect(button(page, "混合")).to_be_visible()


@pytest.mark.parametrize("page", [{"viewport": {"width": 390, "height": 844}}], indirect=True)
def test_no_tab_is_wider_than_a_phone(page):
    for name in ("Convert", "Dataset", "Training", "Lab"):
        tab(page, name)
        page.wait_for_timeout(500)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name


def test_the_data_set_is_looked_at_and_made(page, project):
    tab(page, "Dataset")
    folder = field(page, "Folder of recordings")
    folder.fill("/etc")
    folder.press("Enter")
    button(page, "Report").click()
    toast(page, "/etc is not in the project folder")
    folder.fill("dataset_raw")
    folder.press("Enter")
    button(page, "Report").click()
    see(page, "8 recordings, 1.0 minutes")
    expect(page.locator("svg[role=img]").locator("visible=true")).to_have_count(2)
    see(page, SINGER)
    choose(page, "Recording", f"{SINGER}/02")
    button(page, "Run step 1").click()
    status(page, "done")
    fold(page, "Output")
    said = page.locator("textarea").locator("visible=true").last
    expect(said).to_have_value(re.compile("8 of 8 recordings are done already"))
    assert json.loads((project / "logs/webui/dataset.json").read_text())["code"] == 0


def test_a_training_is_started_found_again_paused_and_stopped(page, project):
    tab(page, "Training")
    field(page, "Name of the run").fill("page")
    button(page, "Train").click()
    status(page, "running")
    see(page, "python train.py --model=page")
    expect(page.get_by_role("progressbar").locator("visible=true")).to_be_visible()

    page.reload()
    tab(page, "Training")
    status(page, "running")
    field(page, "Name of the run").fill("page")
    see(page, "Latest validation")
    expect(page.locator(".vega-embed canvas, .vega-embed svg").locator("visible=true").first).to_be_visible()

    button(page, "Pause").click()
    status(page, "paused")
    button(page, "Resume").click()
    status(page, "running")
    fold(page, "Audio of the validation clips")
    button(page, "Load the newest audio").click()
    expect(field(page, "Clip", exact=True)).to_have_value("0")

    button(page, "Train").click()
    toast(page, "train.py is running already")
    button(page, "Stop (saves first)").click()
    status(page, "stopped")
    assert list((project / "logs/page").glob("G_*.pth"))
    assert (project / "logs/page/metrics.csv").is_file()


def test_a_training_that_cannot_be_is_a_sentence(page, project):
    tab(page, "Training")
    field(page, "Name of the run").fill("based")
    choose(page, "Base model", "starter")
    button(page, "Train").click()
    status(page, "failed")
    see(page, "the base model does not fit")
    assert not (project / "logs/based/config.json").exists()
    fold(page, "More settings")
    field(page, "Configuration").fill("configs/none.json")
    button(page, "Train").click()
    see(page, "configs/none.json does not exist")


def test_voices_are_mixed(page, project):
    tab(page, "Lab")
    pick_models(page, "anna", "花子")
    see(page, "Shares: 50.0%")
    field(page, "Result").fill("trained/mixed/G_0.pth")
    field(page, "Copy configuration").check()
    button(page, "Mix").click()
    see(page, "Written: trained/mixed/G_0.pth")
    assert (project / "trained/mixed/config.json").is_file()


def test_models_that_do_not_fit_are_a_toast(page, project):
    write_model(project / "trained/larger", hidden_channels=32)
    tab(page, "Lab")
    button(page, "Refresh").click()
    pick_models(page, "anna", "larger")
    button(page, "Mix").click()
    toast(page, "only models with equal model sections can be mixed")


def test_tracks_are_edited_and_saved(page, project):
    tab(page, "Lab", "Mix along the song")
    choose(page, "Voice model", "trained/anna")
    see(page, "This mix is valid")
    button(page, "Split the last segment").click()
    see(page, "0.5", exact=True)
    cells = page.get_by_role("grid", name="Tracks").get_by_role("gridcell")
    cells.filter(has_text=re.compile(r"^\s*0\.5\s*$")).first.dblclick()
    editor = cells.locator("input, textarea").locator("visible=true")
    editor.fill("0.4")
    editor.press("Enter")
    see(page, "it must start at 0.4")
    button(page, "Cross-fade").click()
    see(page, "This mix is valid")
    button(page, "Save").click()
    toast(page, "Saved as configs/mixes/mix.json")
    tracks = json.loads((project / "configs/mixes/mix.json").read_text(encoding="utf-8"))
    assert tracks == {"anna": [[0.0, 1.0, 1.0, 0.0]], "花子": [[0.0, 1.0, 0.0, 1.0]]}


def test_a_model_is_compressed_and_exported(page, project):
    tab(page, "Lab", "Compress")
    choose(page, "Model", "trained/anna")
    field(page, "Half precision").check()
    button(page, "Compress").click()
    see(page, "Written: trained/anna/G_8_release.pth")
    assert (project / "trained/anna/G_8_release.pth").is_file()
    tab(page, "Lab", "ONNX")
    fold(page, "Import a trained model")
    see(page, ", with its configuration.")  # open: there is another Model below
    choose(page, "Model", "trained/anna/G_8.pth")
    field(page, "Name", exact=True).fill("anna")
    button(page, "Copy").click()
    toast(page, "Copied to checkpoints/anna")
    field(page, "Check", exact=True).check()
    button(page, "Export").click()
    status(page, "done")
    see(page, "largest difference of 'mel'")
    assert (project / "checkpoints/anna/model.onnx").is_file()


def test_weights_are_listed_and_checked(page):
    tab(page, "Lab", "Weights")
    button(page, "Download").click()
    toast(page, "choose weights to download first")
    button(page, "Verify downloaded files").click()
    status(page, "done")
    fold(page, "List")
    see(page, "NSF-HiFiGAN, the default vocoder")
