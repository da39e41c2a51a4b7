"""Units moved towards those of the target speaker: less of the source's timbre remains.

Two ways, one interface. k-means keeps some thousand centres of a speaker's
units; a unit moves towards the nearest. Retrieval keeps the units themselves; a
unit moves towards the mean of its nearest 8. Each unit frame moves by itself,
so units may be moved before or after they are stretched to mel frames. Nothing
here imports torch until a k-means file, or an index of the published project,
is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from modules.common.errors import ConfigError

if TYPE_CHECKING:
    from cluster.blend import Blender

DEFAULT_PATHS = {"kmeans": "logs/44k/kmeans_10000.pt", "retrieval": "logs/44k/feature_and_index.pkl"}
BUILD_COMMANDS = {"kmeans": "python cluster/train_cluster.py", "retrieval": "python train_index.py"}


def load_blender(
    kind: str, path: str | Path = "", *, speakers: Mapping[str, int], encoder: str, ssl_dim: int
) -> Blender:
    """Open a k-means file or a retrieval index.

    ``kind`` is "kmeans" or "retrieval"; the file is ours or of the published project, at its default
    place without ``path``. ``speakers`` are ids by name, as the model has them, ``encoder`` and
    ``ssl_dim`` (D) those of the units to move.

    Raises:
        ConfigError: The kind is unknown.
        CheckpointError: The file is missing (says what makes it), cannot be read, is of the other kind,
            or was made with another encoder or units of another width.
    """
    if kind not in DEFAULT_PATHS:
        raise ConfigError(f"unknown way to blend units {kind!r}; choose one of: {', '.join(DEFAULT_PATHS)}")
    from cluster.blend import KMeansBlender, RetrievalBlender

    blender = KMeansBlender if kind == "kmeans" else RetrievalBlender
    return blender(Path(path or DEFAULT_PATHS[kind]), speakers, encoder, ssl_dim)
