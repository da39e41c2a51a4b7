"""The clips of the file lists whose features are complete."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from modules.common.errors import ConfigError, FeatureError
from modules.common.progress import progress_bar
from modules.dataset.feature_record import Recipe, failed, find_unusable, settings_of

logger = logging.getLogger(__name__)

_SHOWN = 10


def read_filelist(path: str | Path) -> list[Path]:
    """Clips that a file list names, one per line.

    Raises:
        ConfigError: The list is missing or empty.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()  # editors may write a byte order mark
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist; preprocess_flist_config.py writes it") from None
    except UnicodeDecodeError:
        raise ConfigError(
            f"{path} is not UTF-8; save it so, or run preprocess_flist_config.py again"
        ) from None
    clips = [Path(line.strip()) for line in lines if line.strip()]
    if not clips:
        raise ConfigError(f"{path} names no clip")
    return clips


def checked_clips(
    lists: Sequence[str], wanted: Recipe, advice: str, verbose: bool = True
) -> list[list[Path]]:
    """Usable clips of each file list.

    Those whose features could not be computed are left out, with a warning if ``verbose``.

    Raises:
        ConfigError: See :func:`read_filelist`.
        FeatureError: A list has no usable clip, or features are missing or made with
            other settings; ``advice`` says what to do then. Or units are of different encoder files.
    """
    chosen = [_usable(read_filelist(path), verbose) for path in lists]
    every = [clip for clips in chosen for clip in clips]
    found = find_unusable(
        progress_bar(every, desc="checking features", unit="clip", disable=not verbose), wanted
    )
    if found:
        shown = "\n  ".join(found[:_SHOWN])
        more = f"\n  and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise FeatureError(f"{len(found)} clips cannot be used; {advice}:\n  {shown}{more}")
    _check_alike(every, verbose)
    return chosen


def _check_alike(clips: Sequence[Path], verbose: bool) -> None:
    """Refuse units of different encoder files, and warn of F0 by different predictors."""
    for kind, name, what in (
        ("units", "encoder_weights", "units of different files of the encoder"),
        ("f0", "f0_predictor", "F0 by different predictors"),
    ):
        groups = settings_of(clips, kind, name)
        if len(groups) < 2:
            continue
        shown = ", ".join(f"{value}: {len(some)}, as {some[0]}" for value, some in groups.items())
        message = f"the clips have {what} ({shown}); run step 3 again to make them alike"
        if kind == "units":
            raise FeatureError(message)
        if verbose:
            logger.warning("%s", message)


def _usable(clips: list[Path], verbose: bool) -> list[Path]:
    reasons = {clip: failed(clip) for clip in clips}
    for clip, reason in reasons.items():
        if reason and verbose:
            logger.warning("left out: %s: %s", clip, reason)
    kept = [clip for clip in clips if not reasons[clip]]
    if not kept:
        raise FeatureError("no clip is left: step 3 could use none of them")
    return kept
