"""The key of a whole recording, moved by the library pedalboard (Rubber Band), in windows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from modules.common.errors import MissingWeightsError
from modules.dsp.blocks import Samples, blended
from separation.base import RATE

PACKAGE = '"pedalboard>=0.9.19,<1"'
_STEP, _MARGIN = 60 * RATE, 2 * RATE
_FADE = RATE // 20  # samples, over which two windows are blended


def check_pedalboard(reason: str) -> None:
    """Raise MissingWeightsError, with the command that installs it, if pedalboard is missing."""
    from importlib.util import find_spec

    if find_spec("pedalboard") is None:
        raise MissingWeightsError(f"pedalboard, for {reason}, is not installed: pip install {PACKAGE}")


def shift_key(audio: Samples, semitones: float) -> Iterator[np.ndarray]:
    """``audio`` (T, 2) at ``RATE``, higher by ``semitones`` and as long as before, in blocks (T, 2).

    Rubber Band does not stream through pedalboard, so windows of a minute are shifted by themselves.
    """
    import pedalboard

    board = pedalboard.Pedalboard([pedalboard.PitchShift(semitones=semitones)])
    return blended(
        audio, _STEP, _MARGIN, _FADE, lambda window: board(window.T, RATE, reset=True).T, law=np.sqrt
    )
