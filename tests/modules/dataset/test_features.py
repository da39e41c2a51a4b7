import copy
import pickle

import numpy as np
import pytest
import torch

from modules.common.errors import FeatureError
from modules.dataset import features
from tests.support.golden_cases import signal

N, M, D, U, K = 7, 4, 3, 5, 2
LOADERS = {
    "units": features.load_units,
    "perturbed_units": features.load_perturbed_units,
    "f0": features.load_f0,
    "volume": features.load_volume,
    "mel": features.load_mel,
    "aug_mel": features.load_augmented,
    "aug_volume": features.load_augmented,
}
MEL, VOLUME = signal("mel", (N, M)), np.abs(signal("volume", (N,)))


def values_of(mel=MEL, volume=VOLUME):
    """A feature of every kind."""
    return {
        "units": torch.from_numpy(signal("units", (1, D, U))),
        "perturbed_units": torch.from_numpy(signal("copies", (K, D, U))),
        "f0": np.stack([np.full(len(mel), 220, np.float32), np.ones(len(mel), np.float32)]),
        "volume": volume,
        "mel": torch.from_numpy(mel),
        "aug_mel": features.augmented(2**64 - 1, 1.5, mel),
        "aug_volume": features.augmented(2**64 - 1, 1.5, volume),
    }


VALUES = values_of()


def spoilt(kind, value):
    """A feature with one bad number in it."""
    bad = copy.deepcopy(VALUES[kind])
    numbers = bad["values"] if kind.startswith("aug") else bad
    numbers.reshape(-1)[-1] = value
    return bad


@pytest.fixture
def wav(tmp_path):
    for kind, values in VALUES.items():
        features.save_feature(tmp_path / "x y.wav", kind, values)
    return tmp_path / "x y.wav"


def test_files_have_the_published_names_and_layouts_and_what_is_saved_is_read(wav):
    ends = "soft.pt soft_perturbed.pt f0.npy vol.npy mel.pt aug_mel.npy aug_vol.npy".split()
    assert {path.name for path in wav.parent.iterdir()} == {f"x y.wav.{end}" for end in ends}
    assert np.load(f"{wav}.f0.npy").shape == (2, N)
    assert np.load(f"{wav}.vol.npy").dtype == np.float32
    assert torch.load(f"{wav}.mel.pt", weights_only=True).shape == (N, M)
    torch.testing.assert_close(features.load_units(wav), VALUES["units"][0], rtol=0, atol=0)
    torch.testing.assert_close(features.load_perturbed_units(wav), VALUES["perturbed_units"], rtol=0, atol=0)
    torch.testing.assert_close(features.load_mel(wav), torch.from_numpy(MEL).T, rtol=0, atol=0)
    f0, uv = features.load_f0(wav)
    assert f0.tolist() == [220] * N and uv.tolist() == [1] * N
    mel, volume, key_shift = features.load_augmented(wav)
    np.testing.assert_array_equal(mel, MEL.T)
    np.testing.assert_array_equal(volume, VOLUME)
    assert key_shift == 1.5
    assert [features.n_frames(wav, kind) for kind in VALUES] == [None, None, N, N, N, N, N]


@pytest.mark.parametrize("kind", LOADERS)
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "text", "shape", "nan"])
def test_a_bad_file_is_an_error_that_names_it(wav, kind, damage):
    path = features.feature_path(wav, kind)
    if damage == "missing":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif damage == "text":
        path.write_text("not a feature")
    else:
        bad = spoilt(kind, np.nan) if damage == "nan" else torch.zeros(2, 2, 2, 2)
        torch.save(bad, path) if path.suffix == ".pt" else np.save(path, np.asarray(bad))
    with pytest.raises(FeatureError, match=f"{path.name}.*preprocess_hubert_f0.py"):
        LOADERS[kind](wav)


class Trap:
    sprung = False

    def __reduce__(self):
        return setattr, (Trap, "sprung", True)


@pytest.mark.parametrize("kind", ["f0", "units", "aug_mel"])
def test_published_object_files_are_named_and_never_unpickled(wav, kind):
    path = features.feature_path(wav, kind)
    if path.suffix == ".pt":
        torch.save([Trap()], path)
    else:
        np.save(path, np.array([Trap(), None], dtype=object), allow_pickle=True)
    with pytest.raises(FeatureError, match="published project"):
        LOADERS[kind](wav)
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(FeatureError):
        LOADERS[kind](wav)
    assert not Trap.sprung


@pytest.mark.parametrize("kind", VALUES)
def test_nan_is_never_written(tmp_path, kind):
    with pytest.raises(FeatureError, match="NaN or infinite"):
        features.save_feature(tmp_path / "x.wav", kind, spoilt(kind, np.inf))
    assert not list(tmp_path.iterdir())
