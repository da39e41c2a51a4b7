"""Settings of a cover beside those of its conversion."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields

from modules.common.errors import ConfigError
from separation import DEFAULT, SEPARATORS

KEEP, MUTE, CONVERT = "keep", "mute", "convert"
BACKING = (KEEP, MUTE, CONVERT)
NONE = "none"  # the name for no separator: the song is a voice alone
_LEVELS = (-60.0, 24.0)  # dB


@dataclass(frozen=True, kw_only=True)
class CoverOptions:
    """How a song becomes a cover.

    Raises:
        ConfigError: A value is out of its range; names the flag.
    """

    separator: str = DEFAULT
    instrumental_key: float = 0.0  # semitones, of everything
    backing: str = KEEP
    backing_speaker: str = ""  # name or id; "": the lead's
    dry: bool = False
    vocal_level: float = 0.0  # dB
    backing_level: float = 0.0
    instrumental_level: float = 0.0

    def __post_init__(self) -> None:
        if self.separator != NONE:
            SEPARATORS[self.separator]  # raises if there is no such separator
        if self.backing not in BACKING:
            raise ConfigError(f"--backing must be one of {', '.join(BACKING)}, not {self.backing!r}")
        if self.backing_speaker and self.backing != CONVERT:
            raise ConfigError("--backing_speaker belongs to --backing convert; add that, or remove it")
        ranges = {"instrumental_key": (-12.0, 12.0), **dict.fromkeys(LEVELS, _LEVELS)}
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:  # NaN is refused too
                raise ConfigError(f"--{name} must be between {low:g} and {high:g}, not {getattr(self, name)}")


LEVELS = ("vocal_level", "backing_level", "instrumental_level")


def add_cover_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a flag for every field; :func:`cover_options` reads them back."""
    add = parser.add_argument
    add(
        "--separator",
        default=DEFAULT,
        choices=(*SEPARATORS, NONE),
        help="what takes the vocals out of the song; none: it is a voice alone (%(default)s)",
    )
    add(
        "--instrumental_key",
        type=float,
        default=0.0,
        metavar="NUMBER",
        help="semitones by which the whole song is moved, voice and instruments, -12 to 12 (%(default)g)",
    )
    add(
        "--backing",
        default=KEEP,
        choices=BACKING,
        help="backing voices: keep the original's, mute them, or convert them too (%(default)s)",
    )
    add(
        "--backing_speaker",
        default="",
        metavar="NAME",
        help="with --backing convert: their target speaker (default: the lead's)",
    )
    add("--dry", action="store_true", help="do not give the new voice the room of the original")
    for name in LEVELS:
        part = name.removesuffix("_level").replace("vocal", "new voice")
        add(
            f"--{name}",
            type=float,
            default=0.0,
            metavar="DB",
            help=f"dB by which the {part} is louder than in the original (%(default)g)",
        )


def cover_options(arguments: argparse.Namespace) -> CoverOptions:
    """Options of a parsed command line.

    Raises:
        ConfigError: See :class:`CoverOptions`.
    """
    return CoverOptions(**{field.name: getattr(arguments, field.name) for field in fields(CoverOptions)})
