"""What a run needs besides its weights to go on exactly: the optimizer's moments and the state of chance."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

logger = logging.getLogger(__name__)


def resume_optimizer(optimizer: torch.optim.Optimizer, state: Any, path: Path) -> None:
    """Give ``optimizer``, of one group of parameters, the moments that ``path`` holds.

    Its settings stay: the configuration rules, not what was saved. Without
    moments, or with those of another model, it starts anew and says so.
    """
    if not isinstance(state, dict) or not state.get("state"):
        logger.warning("%s holds no optimizer state (it was compressed); its moments start anew", path)
        return
    parameters = optimizer.param_groups[0]["params"]
    saved = [number for group in state.get("param_groups", []) for number in group["params"]]
    shapes = {i: s["exp_avg"].shape for i, s in state["state"].items() if "exp_avg" in s}
    wanted = dict(zip(saved, (p.shape for p in parameters), strict=False))
    if len(saved) != len(parameters) or any(wanted.get(i) != shape for i, shape in shapes.items()):
        logger.warning("the optimizer state of %s is of another model; its moments start anew", path)
        return
    # before loading: where torch puts the count of steps depends on the settings
    group = {**optimizer.param_groups[0], "params": saved}
    optimizer.load_state_dict({"state": state["state"], "param_groups": [group]})


def rng_state(device: torch.device) -> dict[str, Tensor]:
    """Return the state of the random generators that a step draws from."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_rng_state(device: torch.device, state: dict[str, Tensor]) -> None:
    """Set what :func:`rng_state` returned."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
