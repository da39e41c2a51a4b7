import pytest

from tests.training.support.clips import make_clips


@pytest.fixture
def clips(tmp_path):
    return make_clips(tmp_path / "dataset", {"a": [40, 50], "b": [60]}, perturbed=1)
