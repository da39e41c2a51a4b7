"""Blending gives the numbers of the published project, from files as it writes them."""

from itertools import product

import numpy as np

from cluster import load_blender
from cluster.blend import neighbour_weights
from tests.cluster.data import flat, write_published_index, write_published_kmeans
from tests.support.golden_cases import load_case, signal

CASE = load_case("kmeans_retrieval")
UNITS = signal("km.x", (15, 8)).T
STRETCH = np.arange(20) * 15 // 20  # "nearest", 15 units on 20 frames
BASES = [signal(f"ret.base{number}", (40, 8)) for number in range(2)]


def close(found, name):
    np.testing.assert_allclose(found, CASE[name], **CASE.manifest["tolerance"])


def load(kind, path):
    return load_blender(kind, path, speakers={"s0": 0, "s1": 1}, encoder="vec256l9", ssl_dim=8)


def test_kmeans(tmp_path):
    centres = {f"s{number}": signal(f"km.centers{number}", (12, 8)) for number in range(2)}
    blender = load("kmeans", write_published_kmeans(tmp_path / "kmeans_10000.pt", centres))
    for speaker in centres:
        close(blender.blend(UNITS, speaker, 1.0).T, f"center_{speaker}")
    close(blender.blend(UNITS, "s0", 0.3)[:, STRETCH], "kmeans_0.3")  # before stretching and after
    close(blender.blend(UNITS[:, STRETCH], "s0", 0.3), "kmeans_0.3")
    close(blender.blend(UNITS[:, STRETCH], "s0", 0.0), "c_expanded")


def test_retrieval(tmp_path):
    path = tmp_path / "feature_and_index.pkl"
    blender = load("retrieval", write_published_index(path, dict(enumerate(map(flat, BASES)))))
    for speaker, ratio in product(("s0", "s1"), (0.3, 1.0)):
        close(blender.blend(UNITS, speaker, ratio)[:, STRETCH], f"retrieval_{speaker}_{ratio}")
        close(blender.blend(UNITS[:, STRETCH], speaker, ratio), f"retrieval_{speaker}_{ratio}")
    five = load("retrieval", write_published_index(path, {0: flat(BASES[0][:5])}))
    close(five.blend(UNITS, "s0", 0.3)[:, STRETCH], "retrieval_5vectors_0.3")


def test_weights_of_the_published_scores():
    found = np.einsum("uk,ukd->ud", neighbour_weights(CASE["scores_s0"]), BASES[0][CASE["ids_s0"]])
    close(found.T[:, STRETCH], "retrieval_s0_1.0")
