"""The pitch curve of a song with every edit, to undo and to do again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

STEPS = 500  # that can be undone


@dataclass(frozen=True, eq=False)
class PitchChange:
    """Frames of a curve, from ``first`` on, before and after an edit: Hz, 0 where unvoiced."""

    first: int
    before: np.ndarray  # (L,)
    after: np.ndarray  # (L,)


class PitchHistory:
    """A curve ``f0`` (N,), Hz, 0 where unvoiced, with its past and its future."""

    def __init__(self, f0: np.ndarray) -> None:
        self.f0 = np.asarray(f0, np.float32)
        self._past: list[PitchChange] = []
        self._future: list[PitchChange] = []

    @property
    def undoable(self) -> int:
        """Number of edits that can be undone."""
        return len(self._past)

    @property
    def redoable(self) -> int:
        """Number of edits that can be done again."""
        return len(self._future)

    def edit(self, change: Callable[[np.ndarray], np.ndarray]) -> PitchChange | None:
        """Replace the curve by ``change(f0)``; None if it is the same. What was undone is forgotten."""
        f0 = np.asarray(change(self.f0), np.float32)
        frames = np.flatnonzero(f0 != self.f0)
        if len(frames) == 0:
            return None
        inside = slice(int(frames[0]), int(frames[-1]) + 1)
        done = PitchChange(inside.start, self.f0[inside].copy(), f0[inside].copy())
        self._past = [*self._past[-STEPS + 1 :], done]
        self._future.clear()
        self.f0 = f0
        return done

    def undo(self) -> PitchChange | None:
        """Take the last edit back; None if there is none."""
        if not self._past:
            return None
        done = self._past.pop()
        self._future.append(done)
        return self._put(PitchChange(done.first, done.after, done.before))

    def redo(self) -> PitchChange | None:
        """Do the edit again that was undone last; None if there is none."""
        if not self._future:
            return None
        self._past.append(self._future.pop())
        return self._put(self._past[-1])

    def _put(self, change: PitchChange) -> PitchChange:
        self.f0 = self.f0.copy()  # a rendering may still read the old one
        self.f0[change.first : change.first + len(change.after)] = change.after
        return change
