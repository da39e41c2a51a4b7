"""kmeans_10000.pt: the centres of each speaker, in the published layout.

That is {speaker name: {"n_features_in_", "_n_threads", "cluster_centers_"}}.
The published project writes the centres as arrays of numpy, inside the pickle;
here they are tensors, and the speech encoder is there too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from modules.checkpoint import read_checkpoint, write_checkpoint
from modules.common.errors import CheckpointError, sanitize
from modules.common.text import normalize_name


def write_centres(path: Path, centres: Mapping[str, np.ndarray], encoder: str) -> None:
    """Write the centres (K, D) by speaker name, atomically; raises OSError."""
    content = {
        name: {
            "n_features_in_": values.shape[1],
            "_n_threads": os.cpu_count() or 1,
            "cluster_centers_": torch.from_numpy(np.ascontiguousarray(values, np.float32)),
            "speech_encoder": encoder,
        }
        for name, values in centres.items()
    }
    write_checkpoint(path, content)


def read_centres(path: Path) -> tuple[dict[str, np.ndarray], str]:
    """Centres (K, D), float32, by speaker name, and the encoder, or "" if not known.

    Raises:
        CheckpointError: It cannot be read, is another kind of file, or could run code.
    """
    centres = {}
    encoder = ""
    for name, entry in read_checkpoint(path, arrays=True).items():
        values = entry.get("cluster_centers_") if isinstance(entry, dict) else None
        if not isinstance(values, torch.Tensor) or values.ndim != 2 or not values.numel():
            raise CheckpointError(
                f"{path} is not a k-means file; make one with: python cluster/train_cluster.py"
            )
        name = normalize_name(str(name))
        centres[name] = values.float().numpy()
        if not np.isfinite(centres[name]).all():
            raise CheckpointError(
                f"{path} cannot be used: the centres of {sanitize(name)!r} hold NaN or infinity"
            )
        stated = entry.get("speech_encoder")
        encoder = stated if isinstance(stated, str) else encoder  # a list could be endless as text
    if not centres:
        raise CheckpointError(f"{path} has no speaker; make it again with: python cluster/train_cluster.py")
    return centres, encoder
