"""Times of a live conversion, and what of an ordinary conversion it cannot do."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from inference.options import ConvertOptions
from modules.common.errors import ConfigError


def _time(default: float, low: float, high: float, help: str) -> Any:
    """A field in ms, with its range and its help for the command line and the page."""
    return field(default=default, metadata={"within": (low, high), "help": help})


@dataclass(frozen=True, kw_only=True)
class RealtimeSettings:
    """Times of a live conversion, in ms.

    Raises:
        ConfigError: A value is out of its range.
    """

    block: float = _time(
        46, 10, 2000, "ms that are converted at a time; longer takes less computing, and delays more"
    )
    look_ahead: float = _time(
        23, 0, 2000, "ms after a block that are heard before it is converted: pitch and words need some"
    )
    crossfade: float = _time(23, 0, 200, "ms of cross-fade from a block to the next")
    context: float = _time(
        1000, 100, 20_000, "ms before a block that the voice model sees; they cost computing, no delay"
    )
    unit_context: float = _time(
        4000, 400, 20_000, "ms before a block that the speech encoder hears; they cost computing, no delay"
    )

    def __post_init__(self) -> None:
        for setting in fields(self):
            low, high = setting.metadata["within"]
            value = getattr(self, setting.name)
            if not low <= value <= high:  # NaN is refused too
                raise ConfigError(f"--{setting.name} must be {low:g} to {high:g} ms, not {value:g}")


def check_live(options: ConvertOptions) -> None:
    """Refuse options that a stream cannot have.

    Raises:
        ConfigError: One of them is set; says what to do instead.
    """
    if options.use_spk_mix:
        raise ConfigError(
            "-usm: a speaker mix runs over the length of a song, and a stream has none; "
            "mix the voice models with mix_models.py"
        )
    if options.loudness_envelope_adjustment < 1:
        raise ConfigError(
            "-lea compares the loudness of half a second to either side, which a stream has not heard yet; "
            "remove it"
        )
