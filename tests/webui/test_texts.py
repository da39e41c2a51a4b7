"""Texts of the page."""

from webui.texts import TEXTS


def test_no_text_shows_a_placeholder_of_argparse():
    assert TEXTS and not [key for key, texts in TEXTS.items() if any("%(" in text for text in texts)]
