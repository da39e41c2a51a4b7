"""A voice mix as a picture: who sings when, as areas that fill the song."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from inference.speaker_mix import SpeakerMix
from modules.files import replacing

_POINTS = 2000  # along the song: more than the picture has pixels
_LONGEST_LEGEND = 12  # speakers, those that sing most
_LONGEST_NAME = 24  # letters
# fonts with Chinese, Japanese or Korean letters, as systems and people call them
_EAST_ASIAN = (
    "cjk",
    "wenquanyi",
    "simhei",
    "yahei",
    "pingfang",
    "heiti",
    "hiragino",
    "yu gothic",
    "meiryo",
    "gothic",
    "malgun",
    "unicode",
)
_BOXES = "Last Resort High-Efficiency"  # comes with matplotlib: a box for every letter there is


def write_mix_plot(path: str | Path, mix: SpeakerMix, seconds: float) -> None:
    """Draw the shares of all speakers that sing.

    A letter that no font on this machine has is drawn as "?".

    Args:
        path: The PNG to write.
        mix: Who sings when.
        seconds: Length of the song.
    """
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties

    shares = mix.shares(0, _POINTS, _POINTS)
    singing = [number for number in sorted(mix.names) if shares[:, number].any()]
    families, letters = _fonts("".join(mix.names[number] for number in singing))
    most = sorted(singing, key=lambda number: -shares[:, number].sum())[:_LONGEST_LEGEND]
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    axis = figure.subplots()
    areas = axis.stackplot(np.linspace(0, seconds, _POINTS), shares[:, singing].T, edgecolor="none")
    axis.set(xlim=(0, seconds), ylim=(0, 1), xlabel="seconds", ylabel="share of the voice")
    shown = [(number, area) for number, area in zip(singing, areas, strict=True) if number in most]
    axis.legend(
        [area for _, area in reversed(shown)],  # from above, as they lie upon each other
        [_label(mix.names[number], letters) for number, _ in reversed(shown)],
        prop=FontProperties(family=families),
        bbox_to_anchor=(1.01, 1),
        loc="upper left",
        borderaxespad=0,
    )
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)


def _label(name: str, letters: set[str]) -> str:
    name = "".join(letter if letter in letters else "?" for letter in name[:_LONGEST_NAME])
    return name.replace("$", r"\$")  # or matplotlib takes what lies between two for a formula


def _fonts(text: str) -> tuple[list[str], set[str]]:
    """Return families of fonts that together have the letters of ``text``, and those that they do have."""
    from matplotlib.font_manager import fontManager, get_font

    wanted, found = set(text), set[str]()
    families: list[str] = []

    def usefulness(name: str) -> int:
        known = [i for i, part in enumerate(_EAST_ASIAN) if part in name.lower()]
        return -1 if name == "DejaVu Sans" else min(known, default=len(_EAST_ASIAN))

    for entry in sorted(fontManager.ttflist, key=lambda entry: usefulness(entry.name)):
        if families and wanted <= found:
            break
        if entry.name in (*families, _BOXES) or (entry.style, entry.weight) != ("normal", 400):
            continue
        try:
            letters = {
                letter for letter in wanted - found if get_font(entry.fname).get_char_index(ord(letter))
            }
        except (OSError, RuntimeError):  # a font that is gone, or broken
            continue
        if letters or not families:
            families.append(entry.name)
            found |= letters
    return families, found
