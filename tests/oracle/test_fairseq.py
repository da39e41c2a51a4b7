"""fairseq itself as the judge: one checkpoint through both, down to its container.

The golden numbers were made once; this makes them again, from any weights and
for any length. fairseq needs a compiler and an environment of its own, so
``make test-fairseq`` runs it as another process, and nothing else imports it.
"""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.golden_cases import load_case, signal, voice
from tests.support.published import fairseq_config, write_fairseq
from vencoder import ENCODERS

PYTHON = os.environ.get("FAIRSEQ_PYTHON", "")
pytestmark = pytest.mark.skipif(not PYTHON, reason="needs fairseq's environment: make test-fairseq")


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    ("name", "case_name", "layer", "projected"),  # fairseq's output_layer, and whether final_proj follows
    [
        ("vec768l12", "encoder_vec768l12", 12, 0),
        ("vec256l9", "encoder_vec256l9", 9, 1),
        ("cnhubertlarge", "encoder_cnhubertlarge", 0, 0),
        ("cnhubertlarge", "encoder_cnhubertlarge_convbias", 0, 0),
    ],
)
def test_fairseq_gives_the_same_units_of_the_same_file(tmp_path, name, case_name, layer, projected, zipped):
    state = load_case(case_name).state_dict()
    checkpoint = write_fairseq(tmp_path / "model.pt", state, fairseq_config(case_name), zipped)
    waves = {
        "voice": voice(2.3, 16000),
        "noise": signal("oracle", (12345,), 0.1),
        "shortest": signal("oracle", (400,), 0.1),
        "long": voice(20.0, 16000),
    }
    np.savez(tmp_path / "waves.npz", **waves)
    files = [Path(__file__).with_name("run_fairseq.py"), checkpoint, "waves.npz", "units.npz"]
    command = [PYTHON, *map(str, [*files, layer, projected])]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    encoder = ENCODERS.build(name, "cpu", weights=checkpoint)
    with np.load(tmp_path / "units.npz") as theirs:
        assert set(theirs) == set(waves)
        for key, wave in waves.items():
            ours = encoder.encode(torch.from_numpy(wave)).numpy()
            # the same arithmetic in float32, in another version of torch
            np.testing.assert_allclose(ours, theirs[key], rtol=0, atol=1e-5, err_msg=key)
