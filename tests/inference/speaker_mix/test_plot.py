from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest
from matplotlib.font_manager import fontManager

from inference.speaker_mix import SpeakerMix
from inference.speaker_mix.plot import fonts, write_mix_plot


def test_the_plot_shows_the_shares(tmp_path):
    tracks = {0: [[0, 0.5, 1, 1], [0.5, 1, 0, 0]], 1: [[0, 0.5, 0, 0], [0.5, 1, 1, 1]], 2: [[0, 1, 0, 0]]}
    path = tmp_path / "混合 mix.png"
    write_mix_plot(path, SpeakerMix(tracks, {"anna": 0, "bob": 1, "carol": 2}), 60.0)
    picture = matplotlib.image.imread(path)
    assert picture.shape[:2] == (320, 1000) and list(tmp_path.iterdir()) == [path]
    blue = (picture[..., 2] > 0.6) & (picture[..., 0] < 0.3)  # the first voice, and the one after it
    orange = (picture[..., 0] > 0.9) & (picture[..., 2] < 0.3)
    halves = slice(60, 420), slice(480, 850)
    for colour, here, other in ((blue, *halves), (orange, *halves[::-1])):
        assert colour[50:250, here].mean() > 0.9 and not colour[50:250, other].any()
    green = (picture[..., 1] > 0.5) & (picture[..., 0] < 0.3)
    assert not green.any()  # carol has no share


def test_names_of_all_letters_and_a_choir_are_drawn_without_warnings(tmp_path):
    for name in ("花子さん", "초아", "$x_1$ & _y", "a\nb", "\U0001f3a4", "", "anna " * 99):
        mix = SpeakerMix({0: [[0, 1, 1, 1]], 1: [[0, 1, 1, 1]]}, {name: 0, "_anna": 1})
        write_mix_plot(tmp_path / "a.png", mix, 1.0)
        assert np.isfinite(matplotlib.image.imread(tmp_path / "a.png")).all()
    tracks = {number: [[0, 1, 1, number]] for number in range(100)}
    write_mix_plot(tmp_path / "a.png", SpeakerMix(tracks, {}, 100), 300.0)


@pytest.mark.parametrize("weight", [400, 500, 700])
def test_fonts_of_medium_weight_are_fonts_too(monkeypatch, weight):
    sans = next(
        entry
        for entry in fontManager.ttflist
        if (entry.name, entry.style, entry.weight) == ("DejaVu Sans", "normal", 400)
    )
    monkeypatch.setattr(fontManager, "ttflist", [replace(sans, name="WenQuanYi Zen Hei", weight=weight)])
    assert bool(fonts("a")[1]) == (weight < 700)
