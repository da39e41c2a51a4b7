"""Units moved towards those of the target speaker: less of the source's timbre remains.

Two ways, one interface. k-means keeps some thousand centres of a speaker's
units; a unit moves towards the nearest. Retrieval keeps the units themselves; a
unit moves towards the mean of its nearest 8. Each unit frame moves by itself,
so units may be moved before or after they are stretched to mel frames. Nothing
here imports torch until a k-means file, or an index of the published project,
is read.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from modules.common.errors import ConfigError

if TYPE_CHECKING:
    from cluster.blend import Blender

FILE_NAMES = {"kmeans": "kmeans_10000.pt", "retrieval": "feature_and_index.pkl"}
DEFAULT_FOLDER = Path("logs/44k")  # where the commands write to
BUILD_COMMANDS = {"kmeans": "python cluster/train_cluster.py", "retrieval": "python train_index.py"}

logger = logging.getLogger(__name__)


def default_path(kind: str, model: str | Path) -> Path:
    """The file beside a voice model, or beside its run's folder of diffusion; else that in logs/44k.

    A warning names the latter if the model is of another run: its voices may only have the same names.
    """
    folders = Path(model).parent, Path(model).parent.parent
    for folder in folders:
        if (folder / FILE_NAMES[kind]).is_file():
            return folder / FILE_NAMES[kind]
    path = DEFAULT_FOLDER / FILE_NAMES[kind]
    if path.is_file():
        logger.warning("-cm: there is no %s beside %s; using %s", FILE_NAMES[kind], model, path)
    return path


def load_blender(
    kind: str, path: str | Path, *, speakers: Mapping[str, int], encoder: str, ssl_dim: int
) -> Blender:
    """Open a k-means file or a retrieval index, ours or of the published project.

    ``kind`` is "kmeans" or "retrieval"; ``speakers`` are ids by name, as the model has them, ``encoder`` and
    ``ssl_dim`` (D) those of the units to move.

    Raises:
        ConfigError: The kind is unknown.
        CheckpointError: The file is missing (says what makes it), cannot be read, is of the other kind,
            or was made with another encoder or units of another width.
    """
    if kind not in FILE_NAMES:
        raise ConfigError(f"unknown way to blend units {kind!r}; choose one of: {', '.join(FILE_NAMES)}")
    from cluster.blend import KMeansBlender, RetrievalBlender

    blender = KMeansBlender if kind == "kmeans" else RetrievalBlender
    return blender(Path(path), speakers, encoder, ssl_dim)
