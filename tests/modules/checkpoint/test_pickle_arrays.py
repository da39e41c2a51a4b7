"""Arrays of numpy inside a pickle become tensors; arrays of anything but numbers are refused."""

import pickle

import numpy as np
import pytest
import torch

from modules.checkpoint import read_checkpoint, read_weights
from modules.checkpoint.allowlist import Array, DamagedError, UnsafePickleError
from modules.common.errors import CheckpointError
from tests.support.torch_files import CONTAINERS, read_pickle, wrap, write_zip

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
    for found in (read_pickle(data), read_pickle(numpy_1)):
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
        read_pickle(pickle.dumps(np.arange(3, dtype=">f4"), protocol))
    for value, name in ((np.ones((2, 2)).view(np.matrix), r"numpy\.matrix"), (np.ma.ones(2), r"numpy\.ma")):
        with pytest.raises(UnsafePickleError, match=name):
            read_pickle(pickle.dumps(value, protocol))


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


CLAIMS = [
    *[{"shape": shape} for shape in ((2, 4), (2**62,), (2**64 + 6,), (2.0, 3), (True, 6), [2, 3], None)],
    {"shape": (0, 2**47, 2**47), "data": b""},
    *[{"data": data} for data in (bytes(23), bytes(25), b"", "text" * 6, [0.0] * 6, None)],
    *[{"dtype": dtype} for dtype in (np.dtype("f8"), "f4", None, torch.float32)],
]


def test_false_claims_are_damage(tmp_path):
    np.testing.assert_array_equal(read_pickle(claims())["model"].values, np.zeros((2, 3)))  # a true one
    path = tmp_path / "a.pth"
    for claim in CLAIMS:
        write_zip(path, claims(**claim))
        with pytest.raises(CheckpointError, match="cannot be read") as caught:
            read_checkpoint(path, arrays=True)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
