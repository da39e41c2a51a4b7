"""Plot of a speaker mix: stacked shares over time."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from inference.speaker_mix import SpeakerMix
from modules.common.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_POINTS = 2000  # in time: more than the picture has pixels
_LONGEST_LEGEND = 12  # speakers, those with the largest shares
_LONGEST_NAME = 24  # characters
# parts of the names of fonts with Chinese, Japanese or Korean characters
_EAST_ASIAN = (
    *("cjk", "wenquanyi", "simhei", "yahei", "pingfang", "heiti"),
    *("hiragino", "yu gothic", "meiryo", "gothic", "malgun", "unicode"),
)
_BOXES = "Last Resort High-Efficiency"  # comes with matplotlib: a box for every character


def write_mix_plot(
    path: str | Path,
    mix: SpeakerMix,
    seconds: float,
    labels: tuple[str, str] = ("seconds", "speaker share"),
) -> None:
    """Plot the shares of all speakers that have one in a song of ``seconds``, as a PNG.

    ``labels`` are those of the horizontal and the vertical axis. A character that no
    installed font has is drawn as "?".
    """
    from matplotlib.figure import Figure

    shares = mix.shares(0, _POINTS, _POINTS)
    singing = [number for number in sorted(mix.names) if shares[:, number].any()]
    letters = fonts("".join(mix.names[number] for number in singing))[1]
    most = sorted(singing, key=lambda number: -shares[:, number].sum())[:_LONGEST_LEGEND]
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    axis = figure.subplots()
    areas = axis.stackplot(np.linspace(0, seconds, _POINTS), shares[:, singing].T, edgecolor="none")
    axis.set(xlim=(0, seconds), ylim=(0, 1), xlabel=labels[0], ylabel=labels[1])
    shown = [(number, area) for number, area in zip(singing, areas, strict=True) if number in most]
    axis.legend(
        [area for _, area in reversed(shown)],  # in the order of the stack, from above
        [_label(mix.names[number], letters) for number, _ in reversed(shown)],
        bbox_to_anchor=(1.01, 1),
        loc="upper left",
        borderaxespad=0,
    )
    use_fonts(figure)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)


def _label(name: str, letters: set[str]) -> str:
    name = "".join(letter if letter in letters else "?" for letter in name[:_LONGEST_NAME])
    return name.replace("$", r"\$")  # or matplotlib reads a formula between two


def use_fonts(figure: Figure) -> None:
    """Choose fonts that have the characters of a figure, as far as such are installed."""
    from matplotlib.text import Text

    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # font weights
    written = figure.findobj(Text)
    families, _ = fonts("".join(text.get_text() for text in written))
    for text in written:
        text.set_fontfamily(families)


def fonts(text: str) -> tuple[list[str], set[str]]:
    """Font families that together have the characters of ``text``, and the characters found."""
    from matplotlib.font_manager import fontManager, get_font

    wanted, found = set(text), set[str]()
    families: list[str] = []

    def usefulness(name: str) -> int:
        known = [i for i, part in enumerate(_EAST_ASIAN) if part in name.lower()]
        return -1 if name == "DejaVu Sans" else min(known, default=len(_EAST_ASIAN))

    for entry in sorted(fontManager.ttflist, key=lambda entry: usefulness(entry.name)):
        if families and wanted <= found:
            break
        # 500: WenQuanYi Zen Hei
        upright = entry.style == "normal" and entry.weight in range(400, 501)
        if entry.name in (*families, _BOXES) or not upright:
            continue
        try:
            font = get_font(entry.fname)
            letters = {letter for letter in wanted - found if font.get_char_index(ord(letter))}
        except (OSError, RuntimeError):  # a font that is gone, or broken
            continue
        if letters or not families:
            families.append(entry.name)
            found |= letters
    return families, found
