"""Moving units towards a speaker's: to the nearest centre, or the nearest 8 of all units."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from cluster import BUILD_COMMANDS
from cluster.search import Vectors
from cluster.validate import check_kind, check_origin
from modules.common.errors import CheckpointError, ConfigError, sanitize
from modules.common.text import normalize_name

N_NEIGHBOURS = 8


class Blender(ABC):
    """Moves units (D, U) towards those of a speaker; made by :func:`cluster.load_blender`."""

    kind: str

    def __init__(self, path: Path, speakers: Mapping[str, int], encoder: str, ssl_dim: int) -> None:
        if not path.is_file():
            raise CheckpointError(f"{path} does not exist; make it with: {BUILD_COMMANDS[self.kind]}")
        check_kind(path, self.kind)
        self.path = path
        self.ssl_dim = ssl_dim
        self._loaded: dict[str | int, Vectors] = {}  # by what each kind of file calls a speaker
        self._ids = {normalize_name(name): number for name, number in speakers.items()}
        self._names = {number: name for name, number in self._ids.items()}

    def blend(self, units: np.ndarray, speaker: str | int, ratio: float) -> np.ndarray:
        """Units (D, U), float32, moved by ``ratio``: from 0, as they are, to 1, the speaker's alone.

        ``units`` (D, U) have the frame rate of their encoder or any other; ``speaker`` is a name or id.

        Raises:
            ConfigError: The ratio is out of range.
            CheckpointError: See :meth:`prepare`; or the units are not (D, U).
        """
        if not 0.0 <= ratio <= 1.0:  # NaN is not
            raise ConfigError(f"the cluster ratio (-cr) must be from 0 to 1, not {ratio}")
        if units.ndim != 2 or units.shape[0] != self.ssl_dim:
            raise CheckpointError(
                f"{self.path} is for units ({self.ssl_dim}, U), but these are {units.shape}"
            )
        units = np.asarray(units, np.float32)
        if ratio == 0.0 or not units.size:
            return units
        queries = np.ascontiguousarray(units.T)
        targets = self._targets(queries, self._vectors(speaker))
        return np.ascontiguousarray(((1.0 - ratio) * queries + ratio * targets).T, np.float32)

    def prepare(self, speaker: str | int) -> None:
        """Load a speaker's data; raises CheckpointError if it is missing, or cannot be used."""
        self._vectors(speaker)

    @abstractmethod
    def _vectors(self, speaker: str | int) -> Vectors:
        """Vectors that the units of a speaker move towards."""

    @abstractmethod
    def _targets(self, queries: np.ndarray, vectors: Vectors) -> np.ndarray:
        """Targets (U, D) of ``queries`` (U, D)."""

    def _name(self, speaker: str | int) -> str:
        """Name of the speaker with this name or id."""
        name = normalize_name(str(speaker))
        if name in self._ids or not name.isdecimal():
            return name
        return self._names.get(int(speaker), str(speaker))

    def _lacks(self, speaker: str | int, there: Iterable[str | int]) -> CheckpointError:
        known = ", ".join(map(str, there)) or "no speaker"
        return CheckpointError(
            f"{self.path} has no speaker {self._name(speaker)!r}; it has {sanitize(known, 300)}. "
            f"Make it again with: {BUILD_COMMANDS[self.kind]}"
        )


class KMeansBlender(Blender):
    """Each unit moves towards the nearest centre."""

    kind = "kmeans"

    def __init__(self, path: Path, speakers: Mapping[str, int], encoder: str, ssl_dim: int) -> None:
        super().__init__(path, speakers, encoder, ssl_dim)
        from cluster.kmeans_file import read_centres

        self._centres, made_with = read_centres(path)
        for centres in self._centres.values():
            check_origin(path, self.kind, made_with, encoder, centres.shape[1], ssl_dim)

    def _vectors(self, speaker: str | int) -> Vectors:
        name = self._name(speaker)
        if name not in self._centres:
            raise self._lacks(speaker, self._centres)
        if name not in self._loaded:
            self._loaded[name] = Vectors.flat(self._centres[name])
        return self._loaded[name]

    def _targets(self, queries: np.ndarray, vectors: Vectors) -> np.ndarray:
        return vectors.nearest(queries, 1)[1][:, 0]


class RetrievalBlender(Blender):
    """Each unit moves towards the mean of the nearest 8, weighted by 1 / squared distance, squared."""

    kind = "retrieval"

    def __init__(self, path: Path, speakers: Mapping[str, int], encoder: str, ssl_dim: int) -> None:
        super().__init__(path, speakers, encoder, ssl_dim)
        from cluster.index_file import open_index

        self._index = open_index(path)
        check_origin(path, self.kind, self._index.encoder, encoder, self._index.ssl_dim, ssl_dim)

    def _vectors(self, speaker: str | int) -> Vectors:
        if self._index.names:  # ids may have changed since
            names = {normalize_name(name): number for name, number in self._index.names.items()}
            number = names.get(self._name(speaker), -1)
        else:
            number = self._ids.get(self._name(speaker), int(speaker) if str(speaker).isdecimal() else -1)
        if number not in self._loaded:
            if number not in self._index.ids:
                raise self._lacks(speaker, self._index.names or sorted(self._index.ids))
            self._loaded[number] = self._index.load(number)
        return self._loaded[number]

    def _targets(self, queries: np.ndarray, vectors: Vectors) -> np.ndarray:
        scores, found = vectors.nearest(queries, N_NEIGHBOURS)
        return np.einsum("uk,ukd->ud", neighbour_weights(scores), found)


def neighbour_weights(scores: np.ndarray) -> np.ndarray:
    """Weights (U, k) of neighbours at the squared distances ``scores`` (U, k): 1 / score², sum 1.

    Only their ratios count, so the nearest is taken as the unit: nothing can
    overflow, and a neighbour at distance 0 has all the weight, or shares it with
    others there. An infinite score has no weight.
    """
    nearest = scores.min(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(scores <= nearest, 1.0, nearest / scores)
    weights = relative * relative
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
