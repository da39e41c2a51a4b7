from types import SimpleNamespace

from webui.language import in_language

TEXTS = {"yes": ("yes", "是")}


def test_sentences_are_in_the_language_that_the_page_shows():
    words = {"en": "yes", "zh-CN": "是", "zh-TW": "是", "fr": "yes", "<script>": "yes"}
    for language, word in words.items():
        request = SimpleNamespace(cookies={"glow_svc_language": language})
        assert in_language(TEXTS, request)("yes") == word
    assert in_language(TEXTS, SimpleNamespace(cookies={}))("yes") == "yes"
    assert in_language(TEXTS, None)("yes") == "yes"
