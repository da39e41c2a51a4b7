import socket

import pytest
import torch

from modules.errors import ConfigError, TrainingError
from training.launch import check_port, launch, wanted_processes


def test_only_several_gpus_make_several_processes(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert wanted_processes(torch.device("cuda")) == 4
    assert wanted_processes(torch.device("cuda:1")) == wanted_processes(torch.device("cpu")) == 1
    monkeypatch.setenv("WORLD_SIZE", "2")  # torchrun has decided
    assert wanted_processes(torch.device("cuda")) == 1


def test_a_port_in_use_is_one_line():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match=r"port \d+ is in use.*train\.port"):
            check_port(str(taken.getsockname()[1]))


@pytest.mark.parametrize("port", ["", "http", "0", "70000", "-1"])
def test_what_is_no_port_is_refused(port):
    with pytest.raises(ConfigError, match=r"train\.port"):
        check_port(port)


def test_processes_are_started_and_their_failure_is_told(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    script = tmp_path / "a script.py"
    script.write_text(
        "import os, sys, pathlib\n"
        "pathlib.Path(sys.argv[1], os.environ['RANK']).touch()\n"
        "sys.exit(int(sys.argv[2]))\n"
    )
    assert launch(str(script), [str(tmp_path), "0"], 2, port) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"a script.py", "0", "1"}
    with pytest.raises(TrainingError, match="a process of the run failed"):
        launch(str(script), [str(tmp_path), "3"], 2, port)
