import gradio as gr
import pytest

from modules.common.errors import ConfigError
from webui.context import Switch
from webui.toasts import toasts


def wrong():
    raise ConfigError("a <b> is not c; use d")


def broken():
    return {}["nothing"]


def test_a_mistake_is_one_sentence_and_no_html():
    with pytest.raises(gr.Error) as caught:
        toasts(wrong, True)()
    assert caught.value.message == "a &lt;b&gt; is not c; use d"


def test_debugging_shows_where_and_is_asked_when_it_happens():
    debug = Switch()
    act = toasts(broken, debug)
    with pytest.raises(gr.Error) as caught:
        act()
    assert caught.value.message == "unexpected: 'nothing'"
    debug.on = True
    with pytest.raises(gr.Error) as caught:
        act()
    assert "test_toasts.py" in caught.value.message


def test_what_is_shown_meanwhile_is_shown():
    def steps():
        yield 1
        wrong()

    going = toasts(steps)()
    assert next(going) == 1
    with pytest.raises(gr.Error):
        next(going)
