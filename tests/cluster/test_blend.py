import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from cluster import default_path, load_blender
from cluster.blend import neighbour_weights
from cluster.index_builder import build_index
from cluster.kmeans_file import write_centres
from cluster.search import Vectors
from cluster.unit_reader import ArrayFrames
from modules.common.errors import CheckpointError, ConfigError
from tests.cluster.data import DIMS, draw, flat, ivf, write_published_index, write_published_kmeans
from tests.support.golden_cases import load_case, signal

SPEAKERS = {"anna": 0, "花子": 1}
OWN = {"anna": draw(900, seed=1), "花子": draw(30, seed=2)}
KINDS = ["kmeans", "retrieval"]


@pytest.fixture
def files(tmp_path):
    paths = {"kmeans": tmp_path / "my centres.pt", "retrieval": tmp_path / "索引.pkl"}
    write_centres(paths["kmeans"], OWN, "mfcc")
    build_index(
        paths["retrieval"], {name: ArrayFrames(frames) for name, frames in OWN.items()}, SPEAKERS, "mfcc"
    )
    return paths


@pytest.fixture
def blender(files):
    def load(kind, speakers=SPEAKERS, encoder="mfcc", ssl_dim=DIMS, path=None):
        return load_blender(kind, path or files[kind], speakers=speakers, encoder=encoder, ssl_dim=ssl_dim)

    return load


@pytest.mark.parametrize("speaker", SPEAKERS)
@pytest.mark.parametrize("kind", KINDS)
def test_blending_is_what_a_loop_over_frames_would_do(blender, kind, speaker):
    units = draw(50, seed=3)
    own = OWN[speaker].astype(np.float64)
    wanted = []
    for unit in units:
        distances = ((own - unit) ** 2).sum(1)
        nearest = np.argsort(distances)[: 1 if kind == "kmeans" else 8]
        weights = 1.0 / distances[nearest] ** 2
        wanted.append(0.4 * (weights / weights.sum()) @ own[nearest] + 0.6 * unit)
    made = blender(kind)
    if kind == "retrieval" and speaker == "anna":  # what is not looked for in all lists may be missed
        made.prepare("anna")
        made._loaded[0]._index.nprobe = 1000
    found = made.blend(units.T, speaker, 0.4)
    assert found.dtype == np.float32 and found.shape == (DIMS, 50)
    np.testing.assert_allclose(found.T, wanted, atol=1e-4)  # float32 distances of up to 200


def test_weights_of_neighbours():
    scores = np.array(
        [[0, 0, 1, 4], [1, 2, 4, np.inf], [1e-30, 2e-30, 1e30, np.inf], [3, 3, 3, 3], [0, np.inf, np.inf, 9]],
        np.float32,
    )
    wanted = [[0.5, 0.5, 0, 0], [16 / 21, 4 / 21, 1 / 21, 0], [0.8, 0.2, 0, 0], [0.25] * 4, [1, 0, 0, 0]]
    np.testing.assert_allclose(neighbour_weights(scores), wanted, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_ratio_goes_from_the_units_to_the_speaker_who_is_a_name_or_an_id(blender, kind):
    units = draw(20, seed=4).T
    made = blender(kind)
    far, near = made.blend(units, "anna", 0.25), made.blend(units, "anna", 1.0)
    np.testing.assert_array_equal(made.blend(units, "anna", 0.0), units)
    np.testing.assert_allclose(far, 0.75 * units + 0.25 * near, atol=1e-5)
    for ratio in (-0.1, 1.01, float("nan")):
        with pytest.raises(ConfigError, match=r"\(-cr\) must be from 0 to 1, not"):
            made.blend(units, "anna", ratio)
    for speaker, own in OWN.items():  # an exact match has all the weight
        found = made.blend(own[:25].T, speaker, 1.0)
        np.testing.assert_allclose(found.T, own[:25], atol=1e-5)  # rounding of the distances
    assert made.blend(units[:, :0], "anna", 0.5).shape == (DIMS, 0)
    assert made.blend(units[:, :1].astype(np.float64), "anna", 0.5).dtype == np.float32
    for speaker, number in SPEAKERS.items():
        wanted = made.blend(units, speaker, 0.5)
        np.testing.assert_array_equal(made.blend(units, number, 0.5), wanted)
        np.testing.assert_array_equal(made.blend(units, str(number), 0.5), wanted)
    # the model numbers its speakers otherwise: the name counts
    other = blender(kind, speakers={"花子": 7})
    np.testing.assert_array_equal(other.blend(units, 7, 0.5), made.blend(units, "花子", 0.5))


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_does_not_fit(blender, kind):
    for speaker in ("nobody", 5):
        with pytest.raises(CheckpointError, match=r"has no speaker .*; it has anna, 花子\."):
            blender(kind).prepare(speaker)
    with pytest.raises(CheckpointError, match="has no speaker"):
        blender(kind).blend(draw(2).T, "nobody", 0.5)
    with pytest.raises(CheckpointError, match="made with the encoder 'mfcc', but the model uses 'vec256l9'"):
        blender(kind, encoder="vec256l9", ssl_dim=256)
    with pytest.raises(CheckpointError, match=r"holds units of 12 channels, but .* gives 24"):
        blender(kind, ssl_dim=24)
    with pytest.raises(CheckpointError, match=r"for units \(12, U\), but these are \(20, 12\)"):
        blender(kind).blend(draw(20), "anna", 0.5)
    blender(kind, encoder="mfcc-onnx")  # an encoder on onnxruntime is its namesake


def test_published_files_tell_only_their_width_and_kind(blender, files, tmp_path):
    own = dict(files)
    files["retrieval"] = write_published_index(tmp_path / "i.pkl", {0: ivf(draw(200), 4)})
    files["kmeans"] = write_published_kmeans(tmp_path / "k.pt", {"anna": draw(50)})
    for kind in KINDS:
        assert blender(kind, encoder="whatever").blend(draw(4).T, "anna", 1.0).shape == (DIMS, 4)
        with pytest.raises(CheckpointError, match="holds units of 12 channels"):
            blender(kind, ssl_dim=256)
    with pytest.raises(CheckpointError, match=r"speaker '花子'; it has 0\."):
        blender("retrieval").prepare("花子")
    for paths in (own, files):
        with pytest.raises(CheckpointError, match="is a k-means file, not a retrieval index; remove -fr"):
            blender("retrieval", path=paths["kmeans"])
        with pytest.raises(CheckpointError, match="is a retrieval index, not a k-means file; add -fr"):
            blender("kmeans", path=paths["retrieval"])
    (tmp_path / "added_IVF.index").write_bytes(b"IwFl" + bytes(600))
    with pytest.raises(CheckpointError, match=r"is an index of RVC; make one with: python train_index\.py"):
        blender("retrieval", path=tmp_path / "added_IVF.index")
    with pytest.raises(ConfigError, match="unknown way to blend units 'forest'"):
        load_blender("forest", "a.pt", speakers={}, encoder="mfcc", ssl_dim=DIMS)


def test_a_missing_file_tells_what_makes_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for kind, maker in (("kmeans", "cluster/train_cluster"), ("retrieval", "train_index")):
        path = default_path(kind, "logs/bob/G_1.pth")
        with pytest.raises(CheckpointError) as caught:
            load_blender(kind, path, speakers=SPEAKERS, encoder="mfcc", ssl_dim=DIMS)
        assert str(caught.value) == f"{path} does not exist; make it with: python {maker}.py"


def test_the_file_beside_the_model_comes_first_and_that_of_another_run_is_named(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.chdir(tmp_path)
    for folder in ("logs/44k", "logs/bob"):
        Path(folder, "diffusion").mkdir(parents=True)
        Path(folder, "kmeans_10000.pt").touch()
    for model in ("logs/bob/G_best.pth", "logs/bob/diffusion/model_best.pt"):
        assert default_path("kmeans", model) == Path("logs/bob/kmeans_10000.pt")
    assert not caplog.messages
    assert default_path("kmeans", "trained/G_best.pth") == Path("logs/44k/kmeans_10000.pt")
    assert caplog.messages == [
        "-cm: there is no kmeans_10000.pt beside trained/G_best.pth; using "
        + str(Path("logs/44k/kmeans_10000.pt"))
    ]


def test_retrieval_needs_no_torch(files):
    code = (
        "import sys, numpy as np\nfrom cluster import load_blender\n"
        f"b = load_blender('retrieval', {str(files['retrieval'])!r}, speakers={{'anna': 0}}, encoder='mfcc', "
        f"ssl_dim={DIMS})\nb.blend(np.zeros(({DIMS}, 9), np.float32), 'anna', 0.5)\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_vectors_in_empty_lists_and_long_inputs(monkeypatch):
    vectors = draw(40)
    lists = [vectors[:0], vectors[:15], vectors[15:15], vectors[15:], vectors[:0]]
    made = Vectors.in_lists(vectors[:5], np.array([len(part) for part in lists]), lists, nprobe=99)
    queries = draw(30, seed=5)
    monkeypatch.setattr("cluster.search._BATCH", 7)
    scores, found = made.nearest(queries, 8)
    exact, near = Vectors.flat(vectors).nearest(queries, 8)
    np.testing.assert_allclose(scores, exact, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found, near)
    one = Vectors.in_lists(vectors[:2], np.array([3, 37]), [vectors[:3], vectors[3:]], nprobe=1)
    scores, found = one.nearest(vectors[:1], 8)
    assert np.isinf(scores[0, 3:]).all() and not found[0, 3:].any() and len(one) == 40


CASE = load_case("kmeans_retrieval")
UNITS = signal("km.x", (15, 8)).T
STRETCH = np.arange(20) * 15 // 20  # "nearest", 15 units on 20 frames
BASES = [signal(f"ret.base{number}", (40, 8)) for number in range(2)]


def close(found, name):
    np.testing.assert_allclose(found, CASE[name], **CASE.manifest["tolerance"])


def load(kind, path):
    return load_blender(kind, path, speakers={"s0": 0, "s1": 1}, encoder="vec256l9", ssl_dim=8)


def test_golden_kmeans(tmp_path):
    centres = {f"s{number}": signal(f"km.centers{number}", (12, 8)) for number in range(2)}
    blender = load("kmeans", write_published_kmeans(tmp_path / "kmeans_10000.pt", centres))
    for speaker in centres:
        close(blender.blend(UNITS, speaker, 1.0).T, f"center_{speaker}")
    close(blender.blend(UNITS, "s0", 0.3)[:, STRETCH], "kmeans_0.3")  # before stretching and after
    close(blender.blend(UNITS[:, STRETCH], "s0", 0.3), "kmeans_0.3")
    close(blender.blend(UNITS[:, STRETCH], "s0", 0.0), "c_expanded")


def test_golden_retrieval_and_weights_of_the_scores(tmp_path):
    path = tmp_path / "feature_and_index.pkl"
    blender = load("retrieval", write_published_index(path, dict(enumerate(map(flat, BASES)))))
    for speaker, ratio in product(("s0", "s1"), (0.3, 1.0)):
        close(blender.blend(UNITS, speaker, ratio)[:, STRETCH], f"retrieval_{speaker}_{ratio}")
        close(blender.blend(UNITS[:, STRETCH], speaker, ratio), f"retrieval_{speaker}_{ratio}")
    five = load("retrieval", write_published_index(path, {0: flat(BASES[0][:5])}))
    close(five.blend(UNITS, "s0", 0.3)[:, STRETCH], "retrieval_5vectors_0.3")
    found = np.einsum("uk,ukd->ud", neighbour_weights(CASE["scores_s0"]), BASES[0][CASE["ids_s0"]])
    close(found.T[:, STRETCH], "retrieval_s0_1.0")
