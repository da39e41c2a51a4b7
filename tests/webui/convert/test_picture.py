from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.text import Text

from tests.webui.server import RATE, tone
from webui.convert.picture import draw_conversion
from webui.session import ConversionTask, ConvertedSong
from webui.texts import TEXTS

CHINESE = SimpleNamespace(cookies={"glow_svc_language": "zh-CN"})


@pytest.fixture
def texts(tmp_path, monkeypatch):
    """Draw a picture for a Chinese page; returns its texts."""
    for name in ("song.wav", "result.wav"):
        soundfile.write(tmp_path / name, tone(2.0), RATE)
    task = ConversionTask(tmp_path / "song.wav", tmp_path / "result.wav", "anna", 0)
    f0 = np.full(170, 220.0)
    converted = ConvertedSong(task, "anna", 2.0, 0.1, f0, f0, RATE, 512, ((0.0, 1.0),), None)
    found: list[str] = []
    save = Figure.savefig

    def keep(figure, *args, **kwargs):
        save(figure, *args, **kwargs)
        found.extend(text.get_text() for text in figure.findobj(Text))

    def draw():
        monkeypatch.setattr(Figure, "savefig", keep)
        assert draw_conversion(converted, CHINESE).startswith(b"\x89PNG")
        return set(found)

    return draw


KEYS = ("picture.loudness", "picture.f0.result", "picture.source")


def test_pictures_are_in_the_language_of_the_page(texts, monkeypatch):
    monkeypatch.setattr("inference.speaker_mix.plot.fonts", lambda text: (["DejaVu Sans"], set(text)))
    with pytest.warns(UserWarning, match="missing from font"):  # on a machine without such letters
        assert {TEXTS[key][1] for key in KEYS} <= texts()


def test_without_a_chinese_font_they_are_english(texts, monkeypatch):
    monkeypatch.setattr(fontManager, "ttflist", [f for f in fontManager.ttflist if f.name == "DejaVu Sans"])
    assert {TEXTS[key][0] for key in KEYS} <= texts()
