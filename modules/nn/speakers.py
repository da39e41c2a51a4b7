"""Speakers, given as ids or as shares of a mix."""

from __future__ import annotations

from torch import Tensor, nn

from modules.common.errors import ConfigError


def check_ids(speaker: Tensor, n_speakers: int) -> None:
    """Raise ConfigError for ids out of range; shares (float) are not checked."""
    if not speaker.is_floating_point() and not ((speaker >= 0) & (speaker < n_speakers)).all():
        raise ConfigError(f"speaker ids must be 0 to {n_speakers - 1}, not {speaker.tolist()}")


def check_shares(speaker: Tensor, n_speakers: int) -> None:
    """Raise ConfigError for shares (float) of another number of speakers."""
    if speaker.is_floating_point() and speaker.size(-1) != n_speakers:
        raise ConfigError(f"the mix has {speaker.size(-1)} speakers, but the model has {n_speakers}")


def embed_speakers(table: nn.Embedding, speaker: Tensor) -> Tensor:
    """Rows (B, C, 1 or N) of a table (S, C), by ids, int64 (B,), or by shares, float (B, S) or (B, N, S)."""
    if not speaker.is_floating_point():
        return table(speaker).unsqueeze(2)
    shares = speaker if speaker.dim() == 3 else speaker.unsqueeze(1)
    return (shares @ table.weight).transpose(1, 2)
