"""Index files of the published project are read, and nothing in them is run."""

import pickle
import random
import struct
import sys

import faiss
import numpy as np
import pytest

from cluster.index_file import open_index
from modules.common.errors import CheckpointError
from tests.cluster.data import DIMS, common_share, draw, flat, ivf, write_published_index
from tests.support.fuzzing import ROOM, in_children

VECTORS = draw(400)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "feature_and_index.pkl"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_faiss_wrote_is_searched_as_faiss_does(path, protocol):
    indexes = {0: ivf(VECTORS, 10), 7: flat(VECTORS[:30])}
    index = open_index(write_published_index(path, indexes, protocol))
    assert (index.encoder, index.names, index.ids, index.ssl_dim) == ("", {}, {0, 7}, DIMS)
    queries = draw(25, seed=2)
    for speaker, original in indexes.items():
        found = index.load(speaker)
        if speaker == 0:
            original.nprobe = found._index.nprobe
        scores, ids = original.search(queries, 8)
        np.testing.assert_allclose(found.nearest(queries, 8)[0], scores, rtol=1e-6)
        np.testing.assert_array_equal(found.nearest(queries, 8)[1], VECTORS[: original.ntotal][ids])


def test_more_lists_are_searched_than_the_published_one_and_empty_ones_read(path):
    original, queries = ivf(VECTORS, 10), draw(100, seed=2)
    assert original.nprobe == 1
    _, exact = flat(VECTORS).search(queries, 8)
    _, near = open_index(write_published_index(path, {0: original})).load(0).nearest(queries, 8)
    assert common_share(near, VECTORS[exact]) > 7.9 / 8
    # also where most lists are empty
    index = faiss.IndexIVFFlat(flat(1000.0 + draw(60)), DIMS, 60)
    index.add(1000.0 + draw(3))
    assert b"sprs" in faiss.serialize_index(index).tobytes()
    found = open_index(write_published_index(path, {0: index})).load(0)
    assert len(found) == 3 and found.nearest(1000.0 + draw(3), 1)[0].max() < 1e-3


@pytest.mark.parametrize("kind", ["IndexIVFFlat", "IndexFlatL2", "IndexFlat"])
def test_every_build_of_faiss_has_its_names(path, kind):
    pickled = pickle.dumps({0: ivf(VECTORS, 4) if "IVF" in kind else flat(VECTORS)}, 2)
    start = pickled.index(b"cfaiss.")
    end = pickled.index(b"\n", pickled.index(b"\n", start) + 1)
    for build in ("", "_avx2", "_avx512", "_avx512_spr", "_sve"):
        path.write_bytes(pickled[:start] + f"cfaiss.swigfaiss{build}\n{kind}".encode() + pickled[end:])
        assert len(open_index(path).load(0)) == 400


def dumps(data, kind=faiss.IndexIVFFlat, protocol=4):
    """Pickle an index whose state is ``data``."""

    class Index:
        def __reduce__(self):
            return kind, (), {"this": data}

    return pickle.dumps({0: Index()}, protocol)


def test_bytes_in_an_array(path):
    for protocol in (2, 4, 5):
        for data, kind in ((flat(VECTORS), faiss.IndexFlatL2), (ivf(VECTORS, 4), faiss.IndexIVFFlat)):
            path.write_bytes(dumps(faiss.serialize_index(data), kind, protocol))
            assert len(open_index(path).load(0)) == 400


def test_other_names_of_faiss_and_numpy_are_refused(path):
    for name in (
        *("faiss.swigfaiss.read_index", "faiss.swigfaiss.IndexPreTransform"),
        *("faiss.swigfaiss.OnDiskInvertedLists", "faiss.deserialize_index", "faiss.loader.load_library"),
        *("numpy.load", "numpy.matrix", "sklearn.cluster.KMeans"),
    ):
        module, _, attribute = name.rpartition(".")
        path.write_bytes(b"\x80\x02}K\x00" + f"c{module}\n{attribute}\n".encode() + b")\x81s.")
        with pytest.raises(CheckpointError, match=f"is refused: it asks for {name}, which an index"):
            open_index(path)


# the fields of an index of four lists in their order, each with its number of bytes
FIELDS = f"""kind 4 dims 4 n 8 _ 17 metric 4 n_lists 8 _ 8 quantizer 4 width 4 n_centroids 8 _ 21 n_values 8
_ {16 * DIMS} map 1 map_length 8 lists 4 n_lists_again 8 code_size 8 layout 4 n_sizes 8 size 8""".split()


def parts(**changes):
    """The bytes of an index, with false claims in it."""
    data = bytearray(faiss.serialize_index(ivf(VECTORS, 4)))
    begin = 0
    for name, length in zip(FIELDS[::2], map(int, FIELDS[1::2]), strict=True):
        if name in changes:
            value = changes.pop(name)
            number = value if isinstance(value, bytes) else (value % 256**length).to_bytes(length, "little")
            data[begin : begin + length] = number
        begin += length
    assert not changes and len(data) == begin + 3 * 8 + 400 * (4 * DIMS + 8)
    return bytes(data)


CLAIMS = [
    ({"kind": b"IwPQ"}, "of the kind b'IwPQ' is not read"),
    ({"quantizer": b"IHNf"}, "no plain centroids"),
    ({"metric": 0}, "does not measure Euclidean distance"),
    ({"dims": 0}, "damaged"),
    ({"dims": -1}, "damaged"),
    ({"dims": 2**31 - 1}, "damaged"),
    ({"dims": 13}, "do not agree"),
    ({"n": -1}, "damaged"),
    ({"n_lists": 2**63}, "do not agree"),
    ({"width": 6}, "damaged"),
    ({"n_centroids": 2**62, "n_values": 2**62 * DIMS}, "damaged|more values"),
    ({"n_values": 2**61}, "damaged"),
    ({"map": 1}, "map of its vectors"),
    ({"map_length": 2**61}, "more values"),
    ({"lists": b"ilod"}, "its vectors are not in it"),
    ({"n_lists_again": 5}, "do not agree"),
    ({"code_size": 2**40}, "do not agree"),
    ({"layout": b"none"}, "damaged"),
    ({"layout": b"sprs"}, "damaged"),
    ({"n_sizes": 3}, "damaged|more values"),
    ({"n_sizes": 2**61}, "more values"),
    ({"size": 2**63}, "more values"),
    ({"size": 2**61}, "more values"),
]


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # it only forks
def test_empty_lists_cost_no_more_than_their_bytes(path):
    header = struct.pack("<iqqq?i", 1, 0, 0, 0, True, 1)
    n = 700_000
    quantizer = b"IxF2" + header + struct.pack("<Q", n) + bytes(4 * n)
    quantizer = quantizer.replace(header, struct.pack("<iqqq?i", 1, n, 0, 0, True, 1), 1)
    lists = b"ilar" + struct.pack("<QQ4sQ", n, 4, b"full", n) + bytes(8 * n)
    path.write_bytes(dumps(b"IwFl" + header + struct.pack("<QQ", n, 1) + quantizer + bytes(9) + lists))
    results = list(in_children(lambda path: [str(open_index(path).ids)], [path]))
    assert results[0]["refused"] == ["{0}"]
    assert results[0]["grown"] < 2 * path.stat().st_size + ROOM


def test_false_claims_are_refused(path):
    for claims, message in CLAIMS:
        path.write_bytes(dumps(parts(**claims)))
        with pytest.raises(CheckpointError, match=message) as caught:
            open_index(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("inside", [True, False])
def test_files_cut_short_or_changed_are_reported_or_read(path, inside):
    """Bytes of the index in a sound pickle, and bytes of the pickle."""
    data = parts() if inside else pickle.dumps({0: flat(VECTORS[:4])})
    source = random.Random(inside)
    for number in range(300):
        changed = bytearray(data)
        if number % 3 == 0:
            changed = changed[: source.randrange(len(data))]
        elif inside:
            changed[source.randrange(400)] ^= 1 << source.randrange(8)
        else:
            changed[source.randrange(len(data))] = source.randrange(256)
        path.write_bytes(dumps(bytes(changed)) if inside else changed)
        try:
            index = open_index(path)
            index.load(next(iter(index.ids))).nearest(draw(2, index.ssl_dim), 8)
        except CheckpointError as error:
            assert str(path) in str(error) and "\n" not in str(error)
        else:
            assert number % 3


def test_other_pickles_are_refused(path):
    contents: list[object] = [[], {}, {"anna": 1}, {0: b"IxF2"}, {0: {"this": 5}}, {0: None}]
    for content in contents:
        path.write_bytes(pickle.dumps(content))
        with pytest.raises(CheckpointError, match="is not an index of features|cut short"):
            open_index(path)
    path.write_bytes(b"\x80\x02}K\x00X\x09\x00\x00\x00os.systemQs.")  # a persistent key
    with pytest.raises(CheckpointError, match="outside of it"):
        open_index(path)
    for indexes, message in [
        ({3: faiss.IndexFlatL2(DIMS)}, "has no units of speaker 3"),
        ({3: flat(VECTORS * np.nan)}, "NaN or infinite"),
        ({3: flat(VECTORS), 1: flat(draw(5, 3))}, "different widths"),
    ]:
        with pytest.raises(CheckpointError, match=message):
            open_index(write_published_index(path, indexes)).load(3)
