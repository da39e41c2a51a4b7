from types import SimpleNamespace

from webui.language import in_language


def test_sentences_are_in_the_language_that_the_page_shows():
    words = {"en": "Convert", "zh-CN": "转换", "zh-TW": "转换", "fr": "Convert", "<script>": "Convert"}
    for language, word in words.items():
        request = SimpleNamespace(cookies={"glow_svc_language": language})
        assert in_language(request)("tab.convert") == word
    assert in_language(SimpleNamespace(cookies={}))("tab.convert") == "Convert"
    assert in_language(None)("tab.convert") == "Convert"
