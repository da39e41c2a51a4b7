"""Conversion from an environment of requirements-onnx.txt alone: `make test-light` makes it and runs this."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import inference_main
from tests.export.voices import export_once, rich
from tests.inference.tiny import RATE, read, write_song
from tests.support.golden_cases import voice

ROOT = Path(inference_main.__file__).parent
PYTHON = os.environ.get("ONNX_PYTHON", "")
LARGEST = 350e6  # bytes of the environment
HEAVY = ("torch", "transformers", "librosa", "sklearn", "scipy", "matplotlib", "gradio")

pytestmark = pytest.mark.skipif(not PYTHON, reason="needs the environment that make test-light installs")


def test_the_environment_is_small_and_holds_nothing_heavy():
    folder = Path(PYTHON).parents[1]
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert sum(path.stat().st_size for path in files) < LARGEST
    code = f"import importlib.util as u; print([n for n in {HEAVY} if u.find_spec(n)])"
    done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("tracker", ["pm", "dio", "harvest"])
def test_it_converts_as_the_full_environment_does(tmp_path_factory, tmp_path, tracker):
    exported = export_once(tmp_path_factory, rich)
    song = write_song(tmp_path / "song.wav", voice(2.0, RATE))
    environment = {**os.environ, "GLOW_SVC_PRETRAIN": str(exported.pretrain), "PYTHONPATH": str(ROOT)}
    command = [str(ROOT / "inference_main.py"), "--onnx", str(exported.folder), "-n", str(song)]
    command += ["-s", "anna", "-t", "2", "-f0p", tracker, "-wf", "wav"]
    sounds = []
    for python in (PYTHON, sys.executable):
        folder = tmp_path / Path(python).parents[1].name
        folder.mkdir()
        done = subprocess.run([python, *command], cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        [result] = (folder / "results").iterdir()
        sounds.append(read(result))
    # both run the same libraries on the same processor; files of 16 bits
    np.testing.assert_allclose(sounds[0], sounds[1], rtol=0, atol=2**-15)
