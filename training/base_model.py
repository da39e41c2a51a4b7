"""Base models: what a run starts from instead of random weights.

Importing this does not import torch: the page lists base models.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from modules.common.errors import ConfigError, GlowSVCError

if TYPE_CHECKING:
    from torch import Tensor, nn

STARTER = Path(__file__).resolve().parents[1] / "pretrain" / "starter" / "base.safetensors"
STARTER_NAME = "starter"
STARTER_ENCODER = "ppg-starter"
AUTO_NAME = "auto"

logger = logging.getLogger(__name__)


def find_base(name: str) -> Path:
    """File of ``--base``: a path, or "starter", the one in the repository.

    Raises:
        ConfigError: It does not exist.
    """
    path = STARTER if name == STARTER_NAME else Path(name)
    if not path.is_file():
        raise ConfigError(f"--base: there is no {path}")
    return path


def find_fitting_base(
    module: nn.Module, encoder: str, tables: Collection[str], verbose: bool = True
) -> Path | None:
    """The file that ``--base auto`` means: the starter base model, whose weights ``module`` gets.

    None with another encoder than ppg-starter; and, after a warning if this process
    ``verbose``, if the file is missing or does not fit. ``tables``: see :func:`fit_speakers`.
    """
    if encoder != STARTER_ENCODER:
        return None

    from modules.checkpoint import load_weights, model_state

    try:
        path = find_base(STARTER_NAME)
        load_weights(module, fit_speakers(module, model_state(path), tables)[0], path)
    except GlowSVCError as error:
        if verbose:
            logger.warning("training from scratch instead of the base model: %s", error)
        return None
    return path


def fit_speakers(
    module: nn.Module, state: dict[str, Tensor], tables: Collection[str]
) -> tuple[dict[str, Tensor], list[str], list[str]]:
    """Make a base model of other speakers fit ``module``.

    With another number of speakers, each new one is the average of the base's:
    an average voice, not far from any of them. A base without speakers, or
    with embeddings from a speaker encoder, has no table, or one of another
    width: the module keeps its own. A table that the module does not have is
    left out.

    Args:
        module: What is going to be trained.
        state: The base model's tensors by name.
        tables: Names of the speaker tables, with a row for each speaker.

    Returns:
        The tensors; names of the tables that are averages; names of those that are the module's own.
    """
    own = module.state_dict()
    fit = {name: value for name, value in state.items() if name in own or name not in tables}
    averaged, new = [], []
    for name in [name for name in tables if name in own]:
        if name not in state or not state[name].numel() or state[name].shape[1:] != own[name].shape[1:]:
            fit[name] = own[name]
            new.append(name)
        elif len(state[name]) != len(own[name]):
            fit[name] = state[name].float().mean(0, keepdim=True).expand_as(own[name])
            averaged.append(name)
    return fit, averaged, new
