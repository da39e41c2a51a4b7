"""Speakers of a base model that takes them from recordings (models.ReferenceGlow)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from modules.common.errors import CheckpointError
from modules.config import Config
from modules.dataset.features import load_mel
from modules.nn.reference import PREFIX, ReferenceEncoder

if TYPE_CHECKING:
    from training.tasks.base import Task

_SECONDS = 60  # of the clips of each speaker, at most


def hear_speakers(task: Task, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``state`` with the speaker tables of ``task``'s speakers, from their training clips.

    A speaker without a training clip becomes the average of the others.

    Raises:
        CheckpointError: The tables that it makes are not those of the model.
        FeatureError: A clip's mel is missing or broken.
    """
    own, config = task.model.state_dict(), cast(Config, task.config)
    sizes = tuple(own[name].shape[1] for name in task.speaker_tables)
    network = ReferenceEncoder(config.data.n_mels, sizes)
    try:
        network.load_state_dict(
            {name.removeprefix(PREFIX): x.float() for name, x in state.items() if name.startswith(PREFIX)}
        )
    except RuntimeError:
        raise CheckpointError(
            "the base model does not fit: it takes its speakers from recordings, in other sizes than those "
            "of the section 'model'"
        ) from None
    room = round(_SECONDS * config.data.sampling_rate / config.data.hop_length)
    mels: dict[int, Tensor] = {}
    for clip in task.training_set.clips:
        speaker = config.speaker_id(clip.parent.name)
        known = mels.get(speaker)
        if known is None or known.size(1) < room:
            mel = load_mel(clip)[:, :room]
            mels[speaker] = mel if known is None else torch.cat([known, mel], 1)
    with torch.inference_mode():
        rows = {speaker: network(mel[None, :, :room].float()) for speaker, mel in mels.items()}
    result = {name: value for name, value in state.items() if not name.startswith(PREFIX)}
    for number, name in enumerate(task.speaker_tables):
        known = torch.cat([found[number].squeeze(2) for found in rows.values()])
        table = known.mean(0).repeat(len(own[name]), 1)
        table[list(rows)] = known
        result[name] = table
    return result
