"""Base models: what a run starts from instead of nothing."""

from __future__ import annotations

from pathlib import Path

from modules.errors import ConfigError

STARTER = Path(__file__).resolve().parents[1] / "pretrain" / "starter" / "base.safetensors"
STARTER_NAME = "starter"


def find_base(name: str) -> Path:
    """Return the file that ``--base`` means.

    Args:
        name: A path, or "starter": the one in the repository, for ``--tiny``
            with the encoder ppg-starter.

    Raises:
        ConfigError: It is not there.
    """
    path = STARTER if name == STARTER_NAME else Path(name)
    if not path.is_file():
        raise ConfigError(f"--base: there is no {path}")
    return path
