from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.text import Text

from tests.webui.server import RATE, tone
from webui.convert.picture import draw, words
from webui.session import Made, Take
from webui.texts.pictures import TEXTS

CHINESE = SimpleNamespace(cookies={"glow_svc_language": "zh-CN"})


@pytest.fixture
def made(tmp_path):
    for name in ("song.wav", "result.wav"):
        soundfile.write(tmp_path / name, tone(2.0), RATE)
    take = Take(tmp_path / "song.wav", tmp_path / "result.wav", "anna", 0)
    f0 = np.full(170, 220.0)
    return Made(take, "anna", 2.0, 0.1, f0, f0, RATE, 512, ((0.0, 1.0),), None)


@pytest.fixture
def written(monkeypatch):
    """What is written in the pictures that are drawn."""
    found: list[str] = []
    save = Figure.savefig

    def keep(figure, *args, **kwargs):
        save(figure, *args, **kwargs)
        found.extend(text.get_text() for text in figure.findobj(Text))

    monkeypatch.setattr(Figure, "savefig", keep)
    return found


def test_pictures_speak_the_language_of_the_page(made, written, monkeypatch):
    monkeypatch.setattr("inference.speaker_mix.plot.fonts", lambda text: (["DejaVu Sans"], set(text)))
    with pytest.warns(UserWarning, match="missing from font"):  # on a machine without such letters
        assert draw(made, CHINESE).startswith(b"\x89PNG")
    assert {TEXTS["picture.loudness"][1], TEXTS["picture.f0.result"][1], TEXTS["picture.source"][1]} <= set(
        written
    )


def test_without_chinese_letters_they_are_english(made, written, monkeypatch):
    monkeypatch.setattr(fontManager, "ttflist", [f for f in fontManager.ttflist if f.name == "DejaVu Sans"])
    assert draw(made, CHINESE).startswith(b"\x89PNG")
    assert {TEXTS["picture.loudness"][0], TEXTS["picture.f0.result"][0], TEXTS["picture.source"][0]} <= set(
        written
    )
    assert words(None)("picture.mel") == TEXTS["picture.mel"][0]
