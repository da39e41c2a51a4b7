from pathlib import Path

import gradio as gr
import pytest

from modules.common.errors import ConfigError
from webui.context import Context, Switch

DEBUG = Switch()
CONTEXT = Context(Path(), str, DEBUG)


def mistake():
    raise ConfigError("a <b> is not c; use d")


def steps():
    yield 1
    mistake()


def test_a_mistake_is_one_escaped_sentence():
    running = CONTEXT.with_toasts(steps)()
    assert next(running) == 1
    for act in (CONTEXT.with_toasts(mistake), lambda: next(running)):
        with pytest.raises(gr.Error) as caught:
            act()
        assert caught.value.message == "a &lt;b&gt; is not c; use d"


def test_debug_is_read_when_an_unexpected_error_occurs(monkeypatch):
    act = CONTEXT.with_toasts(lambda: {}["nothing"])
    with pytest.raises(gr.Error) as caught:
        act()
    assert caught.value.message == "unexpected: 'nothing'"
    monkeypatch.setattr(DEBUG, "on", True)
    with pytest.raises(gr.Error, match=r"test_context\.py"):
        act()
