from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from webui.context import Context
from webui.language import in_language


def test_debug_is_read_when_an_unexpected_error_occurs():
    context = Context(Path(), str)
    act = context.with_toasts(lambda: {}["<nothing>"])
    with pytest.raises(gr.Error) as caught:
        act()
    assert caught.value.message == "unexpected: '&lt;nothing&gt;'"
    context.debug = True
    with pytest.raises(gr.Error, match=r"test_context\.py"):
        act()


def test_sentences_are_in_the_language_that_the_page_shows():
    words = {"en": "Convert", "zh-CN": "转换", "zh-TW": "转换", "fr": "Convert", "<script>": "Convert"}
    for language, word in words.items():
        assert in_language(SimpleNamespace(cookies={"glow_svc_language": language}))("tab.convert") == word
    for request in (SimpleNamespace(cookies={}), None):
        assert in_language(request)("tab.convert") == "Convert"
