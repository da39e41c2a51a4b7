from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
from gradio.context import LocalContext

from modules.common.errors import ConfigError
from webui.context import Context
from webui.language import in_language


def toast_of(action, debug=False):
    with pytest.raises(gr.Error) as caught:
        Context(Path(), str, debug).with_toasts(action)()
    return caught.value.message


def test_a_page_that_asks_for_it_sees_where_an_unexpected_error_arose_and_others_do_not():
    def fail():
        return {}["<nothing>"]

    for debug, cookies, sees in (
        (False, {}, False),
        (True, {}, True),
        (False, {"glow_svc_debug": "1"}, True),
    ):
        token = LocalContext.request.set(SimpleNamespace(cookies=cookies))
        try:
            message = toast_of(fail, debug)
        finally:
            LocalContext.request.reset(token)
        assert message.startswith("unexpected: '&lt;nothing&gt;'") and ("test_context.py" in message) is sees


def test_a_toast_holds_no_control_characters():
    def fail():
        raise ConfigError("no \x1b[31mfile\ud800")

    assert toast_of(fail) == r"no \x1b[31mfile\ud800"


def test_sentences_are_in_the_language_that_the_page_shows():
    words = {"en": "Convert", "zh-CN": "转换", "zh-TW": "转换", "fr": "Convert", "<script>": "Convert"}
    for language, word in words.items():
        assert in_language(SimpleNamespace(cookies={"glow_svc_language": language}))("tab.convert") == word
    for request in (SimpleNamespace(cookies={}), None):
        assert in_language(request)("tab.convert") == "Convert"
