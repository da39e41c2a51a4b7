import json
import random

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from cluster.index_builder import build_index, list_count
from cluster.index_file import open_index
from cluster.unit_reader import ArrayFrames
from modules.common.errors import CheckpointError
from tests.cluster.data import DIMS, draw

FRAMES = {"anna": draw(500, seed=1), "花子": draw(20, seed=2)}
VALUES = draw(80)
ABOUT = {"format": "glow-svc retrieval 1", "speech_encoder": "mfcc", "speakers": '{"anna": 0}'}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "feature_and_index.pkl"
    speakers = {name: ArrayFrames(frames) for name, frames in FRAMES.items()}
    build_index(path, speakers, {"anna": 4, "花子": 0}, "mfcc")
    return path


def test_it_is_plain_safetensors(path):
    index = open_index(path)
    assert (index.encoder, index.ssl_dim) == ("mfcc", DIMS)
    assert index.names == {"anna": 4, "花子": 0} and index.ids == {0, 4}
    arrays = load_file(path)
    n_lists = list_count(500)
    assert {name: (values.dtype.name, values.shape) for name, values in arrays.items()} == {
        "0.vectors": ("float32", (20, DIMS)),
        "4.vectors": ("float32", (500, DIMS)),
        "4.centroids": ("float32", (n_lists, DIMS)),
        "4.sizes": ("int64", (n_lists,)),
        "4.nprobe": ("int64", (1,)),
    }
    np.testing.assert_array_equal(arrays["0.vectors"], FRAMES["花子"])
    # all vectors are there, each in the list of its nearest centroid
    np.testing.assert_array_equal(np.unique(arrays["4.vectors"], axis=0), np.unique(FRAMES["anna"], axis=0))
    own = np.repeat(np.arange(n_lists), arrays["4.sizes"])
    distances = ((arrays["4.vectors"][:, None] - arrays["4.centroids"]) ** 2).sum(2)
    np.testing.assert_array_equal(distances.argmin(1), own)


def test_it_is_read_in_pieces(path, monkeypatch):
    whole = open_index(path).load(4).nearest(draw(9, seed=3), 8)
    for n_bytes in (1, 48 * 3, 48 * 100):
        monkeypatch.setattr("cluster.index_file._ROWS", n_bytes)
        assert [len(open_index(path).load(speaker)) for speaker in (4, 0)] == list(map(len, FRAMES.values()))
        parts = open_index(path).load(4).nearest(draw(9, seed=3), 8)
        np.testing.assert_array_equal(parts[1], whole[1])


def write(path, about=(), **changes):
    """Write the index of one speaker with changes; a value of None leaves the array out."""
    lists = {"centroids": VALUES[:2], "sizes": np.array([30, 50]), "nprobe": np.array([1])}
    values = {"vectors": VALUES, **lists, **changes}
    values = {f"0.{name}": value for name, value in values.items() if value is not None}
    save_file(values | {"1.vectors": draw(5, 3)}, path, {**ABOUT, **dict(about)})


BROKEN = [
    ({"format": "another"}, {}, "is not a retrieval index; make one with"),
    ({"speakers": "{"}, {}, "its header is damaged"),
    ({"speakers": "[" * 100_000}, {}, "its header is damaged"),
    ({"speakers": "[0]"}, {}, "its list of speakers is damaged"),
    ({"speakers": '{"anna": 3}'}, {}, "its list of speakers is damaged"),
    ({"speakers": '{"anna": [0]}'}, {}, "its list of speakers is damaged"),
    ({"speakers": '{"anna": 0, "bea": 1}'}, {}, "different widths"),
    ({}, {"vectors": VALUES[0]}, "its list of speakers is damaged"),
    ({}, {"vectors": VALUES[:, :0]}, "its units have no channels"),
    ({}, {"vectors": VALUES[:0]}, "has no units of speaker 0"),
    ({}, {"vectors": VALUES.astype(np.float64)}, "its 0.vectors is of another kind"),
    ({}, {"vectors": VALUES * np.nan}, "NaN or infinite"),
    ({}, {"centroids": VALUES[:2] * np.inf}, "NaN or infinite"),
    ({}, {"centroids": VALUES[:3]}, "do not agree"),
    ({}, {"centroids": VALUES[:2, :5]}, "do not agree"),
    ({}, {"sizes": np.array([30, 51])}, "do not agree"),
    ({}, {"sizes": np.array([-30, 110])}, "do not agree"),
    ({}, {"sizes": np.array([2**63 - 1, 2**63 - 1])}, "do not agree"),
    ({}, {"sizes": np.array([[30, 50]])}, "its 0.sizes is of another kind"),
    ({}, {"sizes": None}, "cut short or lacks"),
    ({}, {"nprobe": np.array([1, 2])}, "do not agree"),
]


def test_broken_content_and_false_claims_are_reported(tmp_path):
    path = tmp_path / "feature_and_index.pkl"
    for about, values, message in BROKEN:
        write(path, about, **values)
        with pytest.raises(CheckpointError, match=message) as caught:
            open_index(path).load(0)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    for nprobe in (1, 0, -5, 2**62):  # but any number of lists to search will do
        write(path, nprobe=np.array([nprobe]))
        assert open_index(path).load(0).nearest(draw(3), 8)[1].shape == (3, 8, DIMS)
    huge = json.dumps({"0.vectors": {"dtype": "F32", "shape": [2**40, 12], "data_offsets": [0, 48 * 2**40]}})
    path.write_bytes(len(huge).to_bytes(8, "little") + huge.encode() + bytes(48))
    with pytest.raises(CheckpointError, match="cut short or lacks"):
        open_index(path)
    path.write_bytes((2**62).to_bytes(8, "little") + huge.encode())
    with pytest.raises(CheckpointError, match="more speakers than an index has"):
        open_index(path)


def test_files_cut_short_or_with_flipped_bits_are_told_or_read(path, tmp_path):
    data = path.read_bytes()
    source = random.Random(0)
    broken = tmp_path / "broken.pkl"
    header = int.from_bytes(data[:8], "little") + 8
    n_refused = 0
    for number in range(200):
        changed = bytearray(data)
        if number % 2:
            changed = changed[: source.randrange(len(data))]
        else:
            changed[source.randrange(header)] ^= 1 << source.randrange(8)
        broken.write_bytes(changed)
        try:
            index = open_index(broken)
            for speaker in index.ids:
                index.load(speaker).nearest(draw(2), 8)
        except CheckpointError as error:
            n_refused += 1
            assert str(broken) in str(error) and "\n" not in str(error)
    assert n_refused > 130  # a flipped bit in a name may make another name
