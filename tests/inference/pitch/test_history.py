"""Edits of a curve, undone and done again."""

from functools import partial

import numpy as np

from inference.pitch.edit import unvoice
from inference.pitch.history import STEPS, PitchHistory


def test_edits_are_undone_and_done_again_to_the_bit():
    history = PitchHistory(np.full(10, 200.0))
    curves = [history.f0]
    for frame in (3, 5, 7):
        change = history.edit(partial(unvoice, first=frame, last=frame + 1))
        assert (change.first, list(change.before), list(change.after)) == (frame, [200], [0])
        curves.append(history.f0)
    assert history.edit(lambda f0: f0) is None and history.undoable == 3
    for curve in curves[-2::-1]:
        history.undo()
        np.testing.assert_array_equal(history.f0, curve)
    assert history.undo() is None and history.redoable == 3
    for curve in curves[1:]:
        history.redo()
        np.testing.assert_array_equal(history.f0, curve)
    assert history.redo() is None
    history.undo()
    history.edit(lambda f0: f0 * 2)
    assert history.redoable == 0


def test_a_curve_that_is_being_rendered_stays_as_it_is():
    history = PitchHistory(np.full(4, 100.0))
    history.edit(lambda f0: f0 * 2)
    taken = history.f0
    history.undo()
    assert list(taken) == [200] * 4 and list(history.f0) == [100] * 4


def test_the_past_is_bounded():
    history = PitchHistory(np.zeros(2))
    for _ in range(STEPS + 20):
        history.edit(lambda f0: f0 + 1)
    assert history.undoable == STEPS
