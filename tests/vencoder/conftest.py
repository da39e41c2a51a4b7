import functools

import pytest

from tests.support.published import write_encoder
from tests.vencoder.reduced import build


@pytest.fixture(scope="session")
def reduced(tmp_path_factory):
    """The reduced encoder of a name, built once from its published container."""
    return functools.cache(lambda name: build(name, write_encoder(name, tmp_path_factory.mktemp("encoder"))))
