"""What a run starts from instead of random weights: a base model, or itself before speakers were added.

Importing this does not import torch: the page lists base models.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.common.errors import ConfigError, GlowSVCError
from modules.common.text import normalize_name
from modules.pretrained.starter import STARTER, STARTER_ENCODER

if TYPE_CHECKING:
    from torch import Tensor

    from training.tasks.base import Task

STARTER_NAME = "starter"
AUTO_NAME = "auto"
SPEAKERS = "spk"  # entry of our checkpoints: ids by name
PRENET = "prenet"  # a part that adds nothing at first, so that any model may get it

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


def find_fitting_base(task: Task, encoder: str, verbose: bool = True) -> Path | None:
    """The file that ``--base auto`` means: the starter base model, whose weights ``task.model`` gets.

    None with another encoder than the starter kit's; and, after a warning if this process
    ``verbose``, if the file is missing or does not fit.
    """
    if encoder != STARTER_ENCODER:
        return None

    from modules.checkpoint import load_weights, model_state

    try:
        path = find_base(STARTER_NAME)
        load_weights(task.model, fit_base(task, model_state(path))[0], path)
    except GlowSVCError as error:
        if verbose:
            logger.warning("training from scratch instead of the base model: %s", error)
        return None
    return path


def fit_base(
    task: Task, state: Mapping[str, Tensor], speakers: Mapping[str, int] | None = None
) -> tuple[dict[str, Tensor], list[str]]:
    """Make a base model fit ``task.model``, which may have other speakers and optional parts.

    A speaker that the base has too keeps its row of each table; a new one begins as the average of the
    base's: an average voice, not far from any of them. If their names are not known, so do all, unless
    both have equally many. A base without speakers, or with embeddings from a speaker encoder, has no
    table, or one of another width: the model keeps its own. So it does with an optional part (volume, F0
    decoder, pitch shift) or a prenet that the base lacks; an optional part that only the base has is left
    out. A base that takes its speakers from recordings hears them in the training clips.

    Args:
        task: The model, its speakers, and the names of its tables and optional parts.
        state: The base model's tensors by name.
        speakers: Its ids by name; empty or None if they are not known.

    Returns:
        The tensors, and what was done to them, for people.
    """
    from modules.nn.reference import takes_recordings
    from training.data.base_speakers import hear_speakers

    own, notes = task.model.state_dict(), []
    heard = takes_recordings(state)
    if heard:
        state, speakers = hear_speakers(task, state), task.config.spk
    parts, there = _parts(own), _parts(state)
    missing = sorted({*task.optional_parts, PRENET} & (parts - there))
    extra = sorted(task.optional_parts & (there - parts))
    new = list(missing)
    fit = {
        name: value
        for name, value in state.items()
        if name in own or not (name in task.speaker_tables or name.partition(".")[0] in extra)
    }
    fit |= {name: value for name, value in own.items() if name.partition(".")[0] in missing}
    speakers, spk = speakers or {}, task.config.spk
    rows = {id_: speakers[name] for name, id_ in spk.items() if name in speakers}  # theirs by ours
    averaged = []
    for name in [name for name in task.speaker_tables if name in own]:
        table, wanted = state.get(name), own[name]
        if table is None and speakers:  # a diffusion model of one speaker: as if its row were 0
            fit[name] = wanted.new_zeros(wanted.shape)
            averaged.append(name)
        elif table is None or not table.numel() or table.shape[1:] != wanted.shape[1:]:
            fit[name] = wanted
            new.append(name)
        elif speakers or len(table) != len(wanted):
            fit[name] = _rearranged(table, len(wanted), rows)
            averaged.append(name)
    if averaged:
        known = [name for name in spk if name in speakers]
        others = [name for name in spk if name not in speakers]
        who = f"{' and '.join(known)} as {'heard in the recordings' if heard else 'in it'}" if known else ""
        average = f"{' and '.join(others) or 'the others'} as the average of its speakers"
        notes.append("; ".join(filter(None, [who, average if others else ""])))
    notes += [f"{' and '.join(new)} from scratch"] if new else []
    notes += [f"without its {' and '.join(extra)}"] if extra else []
    return fit, notes


def gets_prenet(task: Task, state: Mapping[str, Tensor]) -> bool:
    """Whether ``task.model`` has a prenet, and a model with the tensors ``state`` none."""
    return PRENET in _parts(task.model.state_dict()) - _parts(state)


def _parts(names: Iterable[str]) -> set[str]:
    """First names of tensors."""
    return {name.partition(".")[0] for name in names}


def check_alignment(task: Task, path: Path) -> None:
    """Refuse to go on with units aligned by another rule than a run's, which ends at ``path``.

    Raises:
        ConfigError: They are; or the configuration beside ``path`` cannot be read.
    """
    before = path.with_name(task.config_name)
    if not before.is_file():
        return
    modes = [config.data.unit_interpolate_mode for config in (task.read_config(before), task.config)]
    if modes[0] != modes[1] and "time" in modes:  # the other two are one rule
        raise ConfigError(
            f"{path} was trained with data.unit_interpolate_mode {modes[0]}, but the configuration has "
            f"{modes[1]}; set it to {modes[0]} there to continue, or train another model"
        )


def _rearranged(table: Tensor, n_speakers: int, rows: Mapping[int, int]) -> Tensor:
    """Rows of a speaker table in new places, by new id; every other row is the average of all."""
    values = table.float()
    arranged = values.mean(0, keepdim=True).repeat(n_speakers, 1)
    for ours, theirs in rows.items():
        if theirs < len(values):
            arranged[ours] = values[theirs]
    return arranged


def speakers_of(task: Task, path: Path, content: Mapping[str, Any]) -> dict[str, int]:
    """Ids by name of the speakers that a checkpoint was trained with; empty if they are not known.

    They are in our own files; else the configuration beside it has them, but for a
    G_0.pth or model_0.pt, whose neighbour is that of the run which starts from it.

    Raises:
        ConfigError: That configuration cannot be read.
    """
    saved = content.get(SPEAKERS)
    if isinstance(saved, dict):
        return {normalize_name(str(name)): id_ for name, id_ in saved.items() if isinstance(id_, int)}
    config = path.with_name(task.config_name)
    is_base = path.stem == f"{task.checkpoints[0]}_0"
    return {} if is_base or not config.is_file() else dict(task.read_config(config).spk)


def speakers_were_added(task: Task, path: Path, trained: Mapping[str, int]) -> bool:
    """Whether the configuration has the speakers of a run, which ends at ``path``, and others.

    Raises:
        ConfigError: Its speakers are others: the run would learn a voice over another's.
    """
    spk = task.config.spk
    if not trained or not spk or trained == spk:
        return False
    if trained.keys() <= spk.keys():
        return True
    raise ConfigError(
        f"{path} was trained on {', '.join(trained)}, but the configuration has {', '.join(spk)}: a voice "
        f"would be learnt over another's. {task.advice['speakers'].format(checkpoint=path)}"
    )
