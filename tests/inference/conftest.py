from dataclasses import replace

import pytest

from inference.options import ConvertOptions
from tests.inference.tiny import RATE, write_song, write_voice
from tests.support.golden_cases import voice


@pytest.fixture(scope="session")
def song(tmp_path_factory):
    """A second and a half of the goldens' voice."""
    return write_song(tmp_path_factory.mktemp("song") / "song.wav", voice(1.5, RATE))


@pytest.fixture(scope="session")
def options(tmp_path_factory) -> ConvertOptions:
    """Options that name a tiny voice model and its diffusion model."""
    made = write_voice(tmp_path_factory.mktemp("voice"))
    return replace(made, pad_seconds=0.1, k_step=40, diffusion_speedup=10)
