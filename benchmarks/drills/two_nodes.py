"""Training on two nodes, rehearsed on one machine: two torchrun agents of two processes each.

`python -m benchmarks.drills.two_nodes`, about two minutes. Where the system allows it (Linux,
root, iproute2), each agent has its own network namespace, connected by a virtual cable;
elsewhere both use the loopback.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import torch

from benchmarks.measure import temporary_folder
from benchmarks.workspace import ROOT, environment, final_weights, prepare

PORT = "29513"
STEPS = 24


@contextlib.contextmanager
def node_commands() -> Iterator[list[tuple[list[str], str, str]]]:
    """Yield for each host the prefix of a command that runs on it, its address, and its network interface."""
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
    """Train on two nodes, and compare with one node that runs all processes."""
    with temporary_folder() as folder, node_commands() as hosts:
        prepare(folder, max_steps=STEPS, eval_interval=STEPS, batch_size=2, max_speclen=64)

        def agent(node: int, name: str, nodes: int, processes: int) -> subprocess.Popen[str]:
            start, _, interface = hosts[node]
            command = [
                *(*start, sys.executable, "-m", "torch.distributed.run"),
                *("--nnodes", str(nodes), "--nproc_per_node", str(processes), "--node_rank", str(node)),
                *("--master_addr", hosts[0][1], "--master_port", PORT),
                *(str(ROOT / "train.py"), "--device", "cpu", "-m", name),
            ]
            env = {**environment(), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": interface}
            return subprocess.Popen(
                command, cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )

        for name, nodes, processes in (("two_nodes", 2, 2), ("one_node", 1, 4)):
            agents = [agent(node, name, nodes, processes) for node in range(nodes)]
            for number, process in enumerate(agents):
                output, _ = process.communicate(timeout=600)
                if process.returncode:
                    raise SystemExit(f"{name}, node {number} failed:\n{output}")
            print(f"{name}: {nodes} × {processes} processes trained {STEPS} steps")
        one, two = (final_weights(folder, name, STEPS) for name in ("one_node", "two_nodes"))
        difference = max(float((one[name] - two[name]).abs().max()) for name in one)
        scale = max(float(value.abs().max()) for value in one.values() if torch.is_floating_point(value))
        print(f"largest difference of a weight: {difference:.2g} (largest weight {scale:.2g})")
        if difference > 1e-3 * scale:
            raise SystemExit("the two runs differ by more than rounding")


if __name__ == "__main__":
    main()
