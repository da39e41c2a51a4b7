"""The pitch of a song as text: one line "time, Hz, voiced" for each frame.

Sonic Visualiser, spreadsheets and pitch trackers write such files: a first line of names, other
separators and a missing third column are read too.
"""

from __future__ import annotations

import math
import re
from itertools import pairwise
from pathlib import Path

import numpy as np

from modules.common.errors import ConfigError, sanitize
from modules.common.files import write_text
from modules.dsp.f0 import interpolate

LARGEST = 64 << 20  # bytes; seven hours of song
REACH = 0.05  # s; a frame further from any line of a file has no pitch there
_SAME = 1e-4  # s; a frame so near to a line has its pitch, whatever digits times were rounded to
LOWEST, HIGHEST = 20.0, 5000.0  # Hz, that a voice may have
_SEPARATOR = re.compile(r"\s*[,;\t]\s*|\s+")
_HEADER = "time,f0,voiced"


def write_f0(path: str | Path, f0: np.ndarray, frame_rate: float) -> None:
    """Write the curve ``f0`` (N,), Hz, 0 where unvoiced, atomically; NaN has no line. Raises OSError."""
    known = np.flatnonzero(~np.isnan(f0)).tolist()
    lines = [f"{i / frame_rate:.6f},{float(f0[i]):.9g},{int(f0[i] > 0)}" for i in known]
    write_text(path, "\n".join([_HEADER, *lines, ""]))


def read_f0(path: str | Path, n_frames: int, frame_rate: float) -> np.ndarray:
    """Read a curve (n_frames,), Hz, 0 where unvoiced, NaN where the file says nothing.

    Times ascend, in s. Without a third column, 0 Hz is unvoiced; with one, so is less than 0.5 in
    it. Between two lines the pitch is interpolated; over 50 ms away from any it is NaN.

    Raises:
        ConfigError: The file cannot be read, or a line of it is wrong; says which.
    """
    times, track = _lines(Path(path))
    at = np.arange(n_frames) / frame_rate
    line = _nearest(times, at)
    distance = np.abs(at - times[line])
    between = np.interp(at, times, np.arange(len(times)))
    f0 = interpolate(track, np.where(distance < _SAME, line, between))
    return np.where(distance <= REACH, f0, np.nan).astype(np.float32)


def check_f0(path: str | Path) -> None:
    """Raise ConfigError if :func:`read_f0` cannot read a file."""
    _lines(Path(path))


def _nearest(times: np.ndarray, at: np.ndarray) -> np.ndarray:
    after = np.searchsorted(times, at).clip(0, len(times) - 1)
    before = (after - 1).clip(0)
    return np.where(np.abs(times[before] - at) <= np.abs(times[after] - at), before, after)


def _lines(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Times, s, and pitch, Hz, 0 where unvoiced, (L,) each."""
    try:
        if path.stat().st_size > LARGEST:
            raise ConfigError(f"{path} is larger than {LARGEST >> 20} MB; a pitch file is smaller")
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not text; a pitch file has lines: time in s, Hz, voiced") from None
    except OSError as error:
        raise ConfigError(f"the pitch file {path} cannot be read: {error.strerror or error}") from None
    rows: list[tuple[float, float]] = []
    named = False  # the columns
    for number, line in enumerate(text.splitlines(), 1):
        words = _SEPARATOR.split(line.strip())
        if words == [""] or line.lstrip().startswith("#"):
            continue
        row = _row(words)
        if row:
            rows.append(row)
        elif rows or named:
            raise ConfigError(
                f"{path}, line {number}: {sanitize(line)!r} is not: time in s, pitch in Hz (0 or "
                f"{LOWEST:g} to {HIGHEST:g}), voiced (0 or 1)"
            )
        else:
            named = True
    for earlier, later in pairwise(rows):
        if later[0] <= earlier[0]:
            raise ConfigError(f"{path}: times must ascend, but {later[0]:g} s follows {earlier[0]:g} s")
    if not rows:
        raise ConfigError(f"{path} holds no pitch; a pitch file has lines: time in s, Hz, voiced")
    times, track = np.array(rows, np.float64).T
    return times, track


def _row(words: list[str]) -> tuple[float, float] | None:
    """Time and pitch of a line; None if it is not one."""
    try:
        numbers = [float(word) for word in words[:3]]
    except ValueError:
        return None
    if len(numbers) < 2 or not all(map(math.isfinite, numbers)) or not 0 <= numbers[0] < 1e6:
        return None
    time, hz, voiced = (*numbers, 1.0)[:3]
    if voiced < 0.5 or hz == 0:
        return time, 0.0
    return (time, hz) if LOWEST <= hz <= HIGHEST else None
