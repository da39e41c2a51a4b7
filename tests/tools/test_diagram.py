"""The diagram shows what it says: a blur, noise of k steps, and the way back to the phrase."""

import io

import numpy as np
import pytest
from PIL import Image

from tools import diagram


@pytest.fixture(scope="module")
def stages():
    return diagram.run_stages()


def test_the_mel_is_blurred_then_noised_then_sharp(stages):
    def contrast(mel):
        return float(np.square(np.diff(mel, axis=0)).mean())

    shapes = {mel.shape for mel in (stages.glow, stages.noised, stages.half, stages.refined)}
    assert shapes == {(128, diagram.SHOWN.stop - diagram.SHOWN.start)}
    assert contrast(stages.glow) < contrast(stages.refined) < contrast(stages.half) < contrast(stages.noised)
    assert np.abs(stages.audio).max() > 0.01


def test_the_picture_is_wide_enough_and_small_enough(stages, tmp_path, monkeypatch):
    monkeypatch.setattr(diagram, "run_stages", lambda: stages)
    path = tmp_path / "diagram.png"
    assert diagram.main(["--output", str(path)]) == 0
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        assert image.width == 1800  # shown at 900
    assert path.stat().st_size < 400_000
