"""Arrays of numpy inside a pickle become tensors; arrays of anything but numbers are refused."""

import io
import pickle
import random

import numpy as np
import pytest
import torch

from modules.checkpoint import read_checkpoint, read_weights
from modules.checkpoint.allowlist import Array, DamagedError, UnsafePickleError
from modules.checkpoint.unpickler import PickleStream, Unpickler
from modules.common.errors import CheckpointError
from tests.support.torch_files import CONTAINERS, wrap, write_zip


def read(data):
    return Unpickler(PickleStream(io.BytesIO(data), len(data)), lambda key: key, strict=True).load()


VALUES = [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.arange(6, dtype=np.float64).reshape(2, 3).T,
    np.float32(2) * np.ones((2, 3, 4), np.float16)[:, ::2],
    np.array(5, np.int64),
    np.array([True, False]),
    np.zeros((0, 3), np.uint8),
    np.array([-1, 2], np.int8),
]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_are_what_the_standard_reader_makes_of_them(protocol):
    data = pickle.dumps([VALUES, VALUES], protocol)
    numpy_1 = data.replace(b"numpy._core", b"numpy.core") if protocol < 4 else data
    for found in (read(data), read(numpy_1)):
        for one, two, wanted in zip(*found, VALUES, strict=True):
            assert isinstance(one, Array) and one is two and one.values.dtype == wanted.dtype
            np.testing.assert_array_equal(one.values, wanted)


@pytest.mark.parametrize("legacy", [False, True])
def test_they_are_tensors_in_a_model_file(tmp_path, legacy):
    path = tmp_path / "a.pth"
    torch.save({"model": {"w": VALUES[0], "d": VALUES[1]}}, path, _use_new_zipfile_serialization=not legacy)
    for reader, dtype in ((read_checkpoint, torch.float64), (read_weights, torch.float32)):
        state = reader(path)["model"]
        assert (state["w"].dtype, state["d"].dtype) == (torch.float32, dtype)
        np.testing.assert_array_equal(state["d"], VALUES[1])
        state["w"][0] = 5.0  # its own memory, that may be written


OTHERS = [
    np.array([{}]),
    np.array(["text"]),
    np.array([b"bytes"]),
    np.array([1j]),
    np.array(["2020-01-01"], "datetime64[D]"),
    np.array([(1, 2.0)], [("a", "i4"), ("b", "f4")]),
    np.array([1.0], np.longdouble),
]


@pytest.mark.parametrize("protocol", [2, 5])
def test_arrays_of_other_things_are_refused(tmp_path, protocol):
    for value in OTHERS:
        pickled = pickle.dumps({"model": value}, protocol)
        for container in CONTAINERS:
            path = wrap(pickled, container, tmp_path / "a.pth")
            for reader in (read_checkpoint, read_weights):
                with pytest.raises(CheckpointError, match="a numpy type that is not a number"):
                    reader(path)
    with pytest.raises(DamagedError, match="byte order of another kind of machine"):
        read(pickle.dumps(np.arange(3, dtype=">f4"), protocol))
    for value, name in ((np.ones((2, 2)).view(np.matrix), r"numpy\.matrix"), (np.ma.ones(2), r"numpy\.ma")):
        with pytest.raises(UnsafePickleError, match=name):
            read(pickle.dumps(value, protocol))


def test_numbers_that_torch_lacks_are_named(tmp_path):
    torch.save({"model": np.array([1], np.uint64)}, tmp_path / "a.pth")
    try:
        assert read_checkpoint(tmp_path / "a.pth")["model"].dtype == torch.uint64
    except CheckpointError as error:
        assert "an array of uint64" in str(error)


def claims(shape: object = (2, 3), dtype: object = np.dtype("f4"), data: object = bytes(24), order=False):
    """Return the pickle of an array with what it claims of itself."""

    class Claim:
        def __reduce__(self):
            return np.empty(0).__reduce__()[0], (np.ndarray, (0,), b"b"), (1, shape, dtype, order, data)

    return pickle.dumps({"model": Claim()}, 4)


@pytest.mark.parametrize(
    "claim",
    [
        {"shape": (2, 4)},
        {"shape": (2**31, 2**31)},
        {"shape": (2**62,)},
        {"shape": (2**64 + 6,)},
        {"shape": (-2, -3)},
        {"shape": (2.0, 3)},
        {"shape": (True, 6)},
        {"shape": [2, 3]},
        {"shape": (1,) * 33 + (6,)},
        {"shape": (0, 2**47, 2**47), "data": b""},
        {"shape": None},
        {"data": bytes(23)},
        {"data": bytes(25)},
        {"data": b""},
        {"data": "text" * 6},
        {"data": [0.0] * 6},
        {"data": None},
        {"dtype": np.dtype("f8")},
        {"dtype": "f4"},
        {"dtype": None},
        {"dtype": torch.float32},
    ],
    ids=str,
)
def test_false_claims_are_damage(tmp_path, claim):
    np.testing.assert_array_equal(read(claims())["model"].values, np.zeros((2, 3)))  # a true one
    path = tmp_path / "a.pth"
    write_zip(path, claims(**claim))
    with pytest.raises(CheckpointError, match="cannot be read") as caught:
        read_checkpoint(path, arrays=True)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_pickles_cut_short_or_changed_are_errors_or_read(tmp_path):
    data = pickle.dumps({"s": {"cluster_centers_": np.ones((3, 4), np.float32)}}, 2)
    source = random.Random(0)
    path = tmp_path / "k.pt"
    for number in range(400):
        changed = bytearray(data)
        if number % 3 == 0:
            changed = changed[: source.randrange(len(data))]
        else:
            changed[source.randrange(len(data))] = source.randrange(256)
        write_zip(path, bytes(changed))
        try:
            read_checkpoint(path, arrays=True)
        except CheckpointError as error:
            assert str(path) in str(error) and "\n" not in str(error)


def test_how_much_of_a_file_may_be_its_pickle(tmp_path):
    centres = np.random.default_rng(0).standard_normal((3000, 768)).astype(np.float32)
    path = tmp_path / "k.pt"
    torch.save({"s": centres}, path)
    with pytest.raises(CheckpointError, match="more text than a model needs"):
        read_checkpoint(path)
    np.testing.assert_array_equal(read_checkpoint(path, arrays=True)["s"], centres)
