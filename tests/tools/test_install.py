import json
import stat
import sys

import pytest

from tools import install

PIP = """#!{python}
import json, sys
with open({log!r}, "a") as file:
    file.write(json.dumps(sys.argv[5:]) + "\\n")
sys.exit({code} if "--index-url" in sys.argv else 0)
"""
A_GPU = "echo 'GPU 0: NVIDIA GeForce RTX 3060'"
EVERYTHING = ["-r", str(install.REQUIREMENTS)]


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A Linux machine with stand-ins for nvidia-smi and Python; returns what pip was asked to install."""

    def put(name, text):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IEXEC)
        return str(path)

    def run(*arguments, gpu=None, index_answers=True):
        if gpu:
            put("nvidia-smi", f"#!/bin/sh\n{gpu}\n")
        log = tmp_path / "pip.log"
        pip = PIP.format(python=sys.executable, log=str(log), code=int(not index_answers))
        with monkeypatch.context() as patch:
            patch.setattr("sys.executable", put("python", pip))
            patch.setenv("PATH", str(tmp_path))
            patch.setattr("platform.system", lambda: "Linux")
            code = install.main(arguments)
        return code, [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]

    return run


@pytest.mark.parametrize("gpu", [None, "exit 9", "echo no devices"])
def test_without_a_gpu_pytorch_comes_from_its_own_index(machine, gpu):
    code, (first, second) = machine(gpu=gpu)
    assert code == 0 and second == EVERYTHING
    assert first[:2] == ["--index-url", install.CPU_INDEX]
    assert [word.partition(">")[0] for word in first[-2:]] == ["torch", "torchaudio"]


def test_with_a_gpu_the_plain_package_is_taken(machine):
    assert machine(gpu=A_GPU) == (0, [EVERYTHING])


def test_an_index_that_does_not_answer_is_done_without(machine, capsys):
    code, calls = machine(index_answers=False)
    assert code == 0 and calls[1:] == [EVERYTHING]
    assert "does not answer" in capsys.readouterr().out


def test_an_index_of_ones_own_is_taken_or_nothing(machine):
    wanted = "https://example.org/cu130"
    code, calls = machine("--torch_index", wanted, gpu=A_GPU, index_answers=False)
    assert code == 1 and len(calls) == 1 and calls[0][1] == wanted
    assert machine("--torch_index", "plain") == (0, [*calls, EVERYTHING])
