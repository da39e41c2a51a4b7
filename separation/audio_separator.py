"""MDX-Net through the package audio-separator; its weights, an ONNX file, are a download.

The package's other networks unpickle what they load, so only this kind is used.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import weakref
from pathlib import Path

import numpy as np
import soundfile
import torch

from modules.common.errors import MissingWeightsError
from modules.pretrained.weights import weights_path
from separation import SEPARATORS
from separation.base import RATE, Separator, package_folder

_SCALE = np.float32(0.5)  # the package limits what is louder than full scale


class MdxSeparator(Separator):
    """MDX-Net for vocals, published or from the ONNX file ``weights``.

    The package looks its file up in lists, which it downloads beside the file.

    Raises:
        MissingWeightsError: The package or the file is missing.
    """

    step = 60 * RATE  # the package reads and writes a file for each window

    def __init__(self, device: str | torch.device = "cpu", weights: str | Path | None = None) -> None:
        super().__init__(device)
        package_folder("audio_separator", SEPARATORS["audio-separator"].package or "")
        path = Path(weights_path("mdx-voc-ft") if weights is None else weights)
        from audio_separator.separator import Separator as PackagedSeparator

        self._folder = Path(tempfile.mkdtemp(prefix="glow_svc_"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._packaged = PackagedSeparator(
            log_level=logging.ERROR,
            model_file_dir=str(path.parent),
            output_dir=str(self._folder),
            output_format="WAV",
            output_single_stem="Vocals",
            normalization_threshold=1.0,
            use_soundfile=True,
        )
        try:
            self._packaged.load_model(path.name)
        except (OSError, ValueError, RuntimeError) as error:  # no connection, or lists without this file
            raise MissingWeightsError(f"audio-separator cannot use {path}: {error}") from None

    def vocals(self, mix: np.ndarray) -> np.ndarray:
        """See :meth:`Separator.vocals`."""
        source = self._folder / "mix.wav"
        soundfile.write(source, mix * _SCALE, RATE, "FLOAT")
        with np.errstate(divide="ignore", invalid="ignore"):  # windows that are 0 at ends that it cuts off
            written = self._packaged.separate(str(source), {"Vocals": "vocals"})[0]
        path = Path(written) if Path(written).is_absolute() else self._folder / written
        vocals: np.ndarray = soundfile.read(path, dtype="float32", always_2d=True)[0]
        path.unlink()
        return np.pad(vocals / _SCALE, ((0, max(0, len(mix) - len(vocals))), (0, 0)))[: len(mix)]
