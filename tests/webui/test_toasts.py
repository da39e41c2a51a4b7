import gradio as gr
import pytest

from modules.common.errors import ConfigError
from webui.context import Switch
from webui.toasts import toasts


def mistake():
    raise ConfigError("a <b> is not c; use d")


def steps():
    yield 1
    mistake()


def test_a_mistake_is_one_escaped_sentence():
    running = toasts(steps)()
    assert next(running) == 1
    for act in (toasts(mistake, True), lambda: next(running)):
        with pytest.raises(gr.Error) as caught:
            act()
        assert caught.value.message == "a &lt;b&gt; is not c; use d"


def test_debug_is_read_when_an_unexpected_error_occurs():
    debug = Switch()
    act = toasts(lambda: {}["nothing"], debug)
    with pytest.raises(gr.Error) as caught:
        act()
    assert caught.value.message == "unexpected: 'nothing'"
    debug.on = True
    with pytest.raises(gr.Error, match=r"test_toasts\.py"):
        act()
