import os
import signal
import socket
import sys
from pathlib import Path

import pytest
import torch

from modules.common.errors import ConfigError, TrainingError
from tests.support.processes import start_interruptible, wait_until
from training.launch import check_port, launch, wanted_processes

ROOT = Path(__file__).parents[2]


def test_only_several_gpus_make_several_processes(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert wanted_processes(torch.device("cuda")) == 4
    assert wanted_processes(torch.device("cuda:1")) == wanted_processes(torch.device("cpu")) == 1
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: False)  # on Windows: gloo will do
    assert wanted_processes(torch.device("cuda")) == 4 and not caplog.text
    monkeypatch.setattr(torch.distributed, "is_available", lambda: False)
    assert wanted_processes(torch.device("cuda")) == 1 and "training on one of 4" in caplog.text
    monkeypatch.setenv("WORLD_SIZE", "2")  # torchrun has decided
    assert wanted_processes(torch.device("cuda")) == 1


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def test_a_port_in_use_or_invalid_is_one_line_and_one_whose_connections_ended_just_now_is_free(port):
    for invalid in ("", "http", "0", "70000", "-1"):
        with pytest.raises(ConfigError, match=r"train\.port"):
            check_port(invalid)
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", int(port)))
        server.listen()
        with pytest.raises(ConfigError, match=r"port \d+ is in use.*train\.port"):
            check_port(port)
        with socket.create_connection(("127.0.0.1", int(port))) as client:
            there, _ = server.accept()
            there.close()  # who closes first keeps the port for a minute
            client.recv(1)
    check_port(port)


WORKER = """
import os, pathlib, sys, time
from training.interrupt import StopRequest
folder, rank = pathlib.Path(sys.argv[1]), os.environ["RANK"]
with StopRequest() as stop:
    (folder / f"begun {rank}").touch()
    while not stop.requested:
        time.sleep(0.05)
    time.sleep(1)  # it takes a while to save
    (folder / f"saved {rank}").touch()
"""
PARENT = """
import sys
from training.launch import launch
try:
    launch(sys.argv[1], [sys.argv[2]], 2, sys.argv[3])
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_asked_to_end_saves_first(tmp_path, port, number):
    (tmp_path / "worker.py").write_text(WORKER)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    arguments = [str(tmp_path / "worker.py"), str(tmp_path), port]
    parent = start_interruptible([sys.executable, "-c", PARENT, *arguments], env=environment)
    try:
        wait_until(lambda: len(list(tmp_path.glob("begun *"))) == 2, parent, 120)
    finally:
        parent.send_signal(number)
    assert parent.wait(60) == 130
    assert len(list(tmp_path.glob("saved *"))) == 2  # when it has ended, they have


def test_processes_are_started_and_their_failure_is_reported(tmp_path, port):
    script = tmp_path / "a script.py"
    script.write_text("import sys; sys.exit(int(sys.argv[1]))")
    assert launch(str(script), ["0"], 2, port) == 0
    with pytest.raises(TrainingError, match="a process of the run failed"):
        launch(str(script), ["3"], 2, port)
    script.write_text("import os, signal; os.kill(os.getpid(), signal.SIGTERM)")
    with pytest.raises(TrainingError, match=r"killed by signal 15.*continues from the last checkpoint"):
        launch(str(script), [], 2, port)


GIVES_UP = """
import sys, torch
from modules.common.cli import entry_point
from modules.common.errors import TrainingError
from training.distributed import DistributedContext

@entry_point
def main(argv=None):
    with DistributedContext(torch.device("cpu")) as context:
        for step in range(1000):
            context.all_reduce(torch.ones(1))
            if context.rank == 1 and step == 3:
                raise TrainingError("process 1 gave up")

sys.exit(main())
"""


def test_an_error_of_one_process_is_one_line_of_each(tmp_path, port, capfd, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    script = tmp_path / "gives_up.py"
    script.write_text(GIVES_UP)
    with pytest.raises(TrainingError):
        launch(str(script), [], 2, port)
    error = capfd.readouterr().err
    assert "process 1 gave up" in error and "Traceback" not in error
    assert all(line.startswith(("gives_up.py: process", "[W")) for line in error.splitlines()), error
