"""What of a text is compared: words or characters, whatever their case, width and punctuation."""

import importlib.util

import numpy as np
import pytest

from evaluation.text import error_rate, read_text, split_text
from modules.common.errors import ConfigError


def needs(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"needs {package}, see requirements-quality.txt")


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("en", "Don’t  stop the 15th (which ends)!", ["do", "not", "stop", "the", "15th", "which", "ends"]),
        ("en", "the fifteenth, twenty-five", ["the", "15th", "25"]),
        ("es", "¡Qué día más ＦＲÍＯ, señor!", ["qué", "día", "más", "frío", "señor"]),
        ("hi", "नमस्ते दुनिया।", ["नमस्ते", "दुनिया"]),
        ("fr", "l’été (déjà)…", ["l", "été", "déjà"]),
        ("ja", "カタカナ、 とｶﾅ。A１", list("かたかなとかなa1")),
        ("th", "สวัสดี ครับ", list("สวัสดีครับ")),
        ("en", "…", []),
        ("ja", "。", []),
    ],
)
def test_words_or_characters(language, one, other):
    assert split_text(one, language) == other


def test_chinese_is_compared_in_simplified_characters():
    needs("opencc")
    assert split_text("漢語，簡單。", "zh") == list("汉语简单")


def test_given_words_may_be_a_file(tmp_path):
    path = tmp_path / "歌.TXT"
    path.write_text("la la", encoding="utf-8")
    assert read_text(str(path)) == "la la" and read_text("la la") == "la la"
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigError, match="cannot be read as UTF-8"):
        read_text(str(path))


def test_errors_are_counted_per_word():
    needs("jiwer")
    assert error_rate(["a", "b", "c", "d"], ["a", "x", "c"]) == 0.5
    assert error_rate(["a"], []) == 1.0 and error_rate(["a"], ["a"]) == 0.0
    assert error_rate(["a"], ["a", "b", "c"]) == 2.0
    assert np.isnan(error_rate([], ["a"]))
