"""A rehearsal for two machines: two torchrun agents of two processes each, that meet over the network.

`python -m benchmarks.drills.two_nodes`, about two minutes. Where the system allows it (Linux,
root, iproute2), each agent has a network namespace of its own, with only a cable between them;
elsewhere both are on loopback.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.workspace import ENVIRONMENT, ROOT, prepare
from modules.checkpoint import read_checkpoint

_PORT = "29513"
_STEPS = 24


@contextlib.contextmanager
def two_hosts() -> Iterator[list[tuple[list[str], str, str]]]:
    """Yield for each host the words that start a command on it, its address, and its network interface."""
    names = [f"glow{os.getpid()}{side}" for side in "ab"]
    commands = [
        *(["netns", "add", name] for name in names),
        ["link", "add", "cable0", "netns", names[0], "type", "veth", "peer", "cable0", "netns", names[1]],
        *(["-n", name, "addr", "add", f"10.99.0.{i}/24", "dev", "cable0"] for i, name in enumerate(names, 1)),
        *(["-n", name, "link", "set", device, "up"] for name in names for device in ("lo", "cable0")),
    ]
    try:
        if not shutil.which("ip") or not all(_quiet(["ip", *command]) for command in commands):
            print("no network namespaces here: both nodes share the loopback")
            yield [([], "127.0.0.1", "lo")] * 2
        else:
            print("two network namespaces, 10.99.0.1 and 10.99.0.2, with a cable between them")
            yield [
                (["ip", "netns", "exec", name], f"10.99.0.{i}", "cable0") for i, name in enumerate(names, 1)
            ]
    finally:
        for name in names:
            _quiet(["ip", "netns", "del", name])


def _quiet(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def main() -> None:
    """Train on two nodes, and compare with one node that has all the processes."""
    with tempfile.TemporaryDirectory() as temporary, two_hosts() as hosts:
        folder = Path(temporary)
        prepare(folder, max_steps=_STEPS, eval_interval=_STEPS, batch_size=2, max_speclen=64)

        def agent(node: int, name: str, nodes: int, processes: int) -> subprocess.Popen[str]:
            start, _, interface = hosts[node]
            command = [
                *(*start, sys.executable, "-m", "torch.distributed.run"),
                *("--nnodes", str(nodes), "--nproc_per_node", str(processes), "--node_rank", str(node)),
                *("--master_addr", hosts[0][1], "--master_port", _PORT),
                *(str(ROOT / "train.py"), "--device", "cpu", "-m", name),
            ]
            environment = {**ENVIRONMENT, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": interface}
            return subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )

        for name, nodes, processes in (("two_nodes", 2, 2), ("one_node", 1, 4)):
            agents = [agent(node, name, nodes, processes) for node in range(nodes)]
            for number, process in enumerate(agents):
                said, _ = process.communicate(timeout=600)
                if process.returncode:
                    raise SystemExit(f"{name}, node {number} failed:\n{said}")
            print(f"{name}: {nodes} × {processes} processes trained {_STEPS} steps")
        ends = [
            read_checkpoint(folder / "logs" / name / f"G_{_STEPS}.pth")["model"]
            for name in ("two_nodes", "one_node")
        ]
        furthest = max(float((ends[0][name] - ends[1][name]).abs().max()) for name in ends[0])
        scale = max(float(value.abs().max()) for value in ends[0].values() if torch.is_floating_point(value))
        print(f"largest difference of a weight: {furthest:.2g} (largest weight {scale:.2g})")
        if furthest > 1e-3 * scale:
            raise SystemExit("the two runs differ by more than rounding")


if __name__ == "__main__":
    main()
