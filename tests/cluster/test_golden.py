"""Blending gives the numbers of the published project, from files as it writes them."""

import numpy as np
import pytest

from cluster import load_blender
from cluster.blend import neighbour_weights
from tests.cluster.data import flat, write_published_index, write_published_kmeans
from tests.support.golden_cases import load_case, signal

SPEAKERS = {"s0": 0, "s1": 1}
CASE = load_case("kmeans_retrieval")
UNITS = signal("km.x", (15, 8)).T
STRETCH = np.arange(20) * 15 // 20  # "nearest", 15 units on 20 frames
BASES = [signal(f"ret.base{number}", (40, 8)) for number in range(2)]


def close(found, name):
    np.testing.assert_allclose(found, CASE[name], **CASE.manifest["tolerance"])


@pytest.fixture
def kmeans(tmp_path):
    centres = {f"s{number}": signal(f"km.centers{number}", (12, 8)) for number in range(2)}
    path = write_published_kmeans(tmp_path / "kmeans_10000.pt", centres)
    return load_blender("kmeans", path, speakers=SPEAKERS, encoder="vec256l9", ssl_dim=8)


@pytest.fixture
def retrieval(tmp_path):
    path = write_published_index(tmp_path / "feature_and_index.pkl", dict(enumerate(map(flat, BASES))))
    return load_blender("retrieval", path, speakers=SPEAKERS, encoder="vec256l9", ssl_dim=8)


@pytest.mark.parametrize("speaker", SPEAKERS)
def test_nearest_centres(kmeans, speaker):
    close(kmeans.blend(UNITS, speaker, 1.0).T, f"center_{speaker}")


def test_kmeans_before_stretching_and_after(kmeans):
    close(kmeans.blend(UNITS, "s0", 0.3)[:, STRETCH], "kmeans_0.3")
    close(kmeans.blend(UNITS[:, STRETCH], "s0", 0.3), "kmeans_0.3")
    close(kmeans.blend(UNITS[:, STRETCH], "s0", 0.0), "c_expanded")


@pytest.mark.parametrize("speaker", SPEAKERS)
@pytest.mark.parametrize("ratio", [0.3, 1.0])
def test_retrieval(retrieval, speaker, ratio):
    close(retrieval.blend(UNITS, speaker, ratio)[:, STRETCH], f"retrieval_{speaker}_{ratio}")
    close(retrieval.blend(UNITS[:, STRETCH], speaker, ratio), f"retrieval_{speaker}_{ratio}")


def test_weights_of_the_published_scores():
    found = np.einsum("uk,ukd->ud", neighbour_weights(CASE["scores_s0"]), BASES[0][CASE["ids_s0"]])
    close(found.T[:, STRETCH], "retrieval_s0_1.0")


def test_fewer_vectors_than_neighbours(tmp_path):
    path = write_published_index(tmp_path / "five.pkl", {0: flat(BASES[0][:5])})
    blender = load_blender("retrieval", path, speakers=SPEAKERS, encoder="vec256l9", ssl_dim=8)
    close(blender.blend(UNITS, "s0", 0.3)[:, STRETCH], "retrieval_5vectors_0.3")
