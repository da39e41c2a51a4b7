"""Evaluators that need optional packages: their scores, and the message where a package is missing."""

import sys

import numpy as np
import pytest

from evaluation.evaluators import build_evaluators, similarity, words
from evaluation.evaluators.base import EvalInputs, Unavailable, importing
from evaluation.validation import build_scorer
from modules.common.errors import AudioError, ConfigError
from modules.dsp.audio import write_audio
from synthetic_voice import compose, sing
from tests.evaluation.evaluators.test_sound import RATE, convert

PACKAGES = ("resemblyzer", "speechmos", "pocketsphinx", "jiwer")


def needs(*packages: str) -> None:
    for package in packages:
        try:
            with importing(package):
                __import__(package)
        except Unavailable as reason:
            pytest.skip(str(reason))


def sung(name: str, seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    return sing(compose(name, seconds, seed), name, seed=seed).audio


def noise(n: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(n).astype(np.float32)


@pytest.fixture
def nothing_installed(monkeypatch):
    for package in PACKAGES:
        monkeypatch.setitem(sys.modules, package, None)
    similarity.load_encoder.cache_clear()
    yield
    similarity.load_encoder.cache_clear()


def test_a_missing_package_is_named_and_the_other_evaluators_still_run(nothing_installed, tmp_path):
    write_audio(tmp_path / "a.wav", sung("sofia"), RATE)
    evaluators, missing = build_evaluators(EvalInputs(target=[tmp_path / "a.wav"], texts=["la la"]))
    assert evaluators.keys() == {"melody", "likeness", "silence", "clicks", "loudness", "speed"}
    lacking = {"similarity_target", "similarity_source", "word_error", "phone_error"}
    assert missing.keys() == {*lacking, "dnsmos_ovrl", "dnsmos_p808"}
    how = "is not installed; get it with: python -m pip install -r requirements-quality.txt"
    assert all(reason.endswith(how) for reason in missing.values())
    assert missing["dnsmos_ovrl"].startswith("speechmos")
    score, missing = build_scorer()
    assert score(np.zeros(RATE, np.float32), RATE, tmp_path / "a.wav") == {}
    assert missing.keys() == {"similarity", "dnsmos_ovrl"}


def test_missing_dependencies_and_inputs_are_named():
    with pytest.raises(Unavailable, match=r"resemblyzer is not installed \(no_such_package is missing\)"):
        with importing("resemblyzer"):
            import no_such_package  # noqa: F401
    with pytest.raises(Unavailable, match="--target FOLDER"):
        similarity.TargetSimilarity(EvalInputs())
    with pytest.raises(Unavailable, match="--text WORDS"):
        words.WordErrors(EvalInputs())


def test_a_voice_is_similar_to_itself_and_less_to_another(tmp_path):
    needs("resemblyzer")
    write_audio(tmp_path / "花 1.wav", sung("sofia", seed=1), RATE)
    evaluator = similarity.TargetSimilarity(EvalInputs(target=[tmp_path / "花 1.wav"]))
    made = convert(sung("tomas", seed=2), sung("sofia", seed=3))
    score = evaluator.evaluate(made)["similarity_target"]
    assert 1 >= score.value > score.reference + 0.05
    assert similarity.SourceSimilarity(EvalInputs()).evaluate(made)["similarity_source"].value < score.value
    silent = convert(*[np.zeros(RATE, np.float32)] * 2)
    assert np.isnan(evaluator.evaluate(silent)["similarity_target"].value)


def test_recordings_without_a_voice_are_refused(tmp_path):
    needs("resemblyzer")
    write_audio(tmp_path / "a.wav", np.zeros(RATE), RATE)
    with pytest.raises(Unavailable, match="no voice is found"):
        similarity.TargetSimilarity(EvalInputs(target=[tmp_path / "a.wav"]))
    (tmp_path / "b.wav").write_text("words")
    with pytest.raises(AudioError, match="b.wav cannot be read"):
        similarity.TargetSimilarity(EvalInputs(target=[tmp_path / "b.wav"]))


def test_noise_lowers_dnsmos():
    needs("speechmos")
    from evaluation.evaluators.naturalness import Naturalness, dnsmos

    clean = sung("sofia")
    scores = Naturalness(EvalInputs()).evaluate(convert(clean, clean + 0.3 * noise(len(clean))))
    assert scores.keys() == {"dnsmos_ovrl", "dnsmos_p808"}
    assert all(1 <= score.value < score.reference <= 5 for score in scores.values())
    assert np.isnan(dnsmos(clean[:100], RATE)[0])


def test_validation_clips_are_scored_beside_their_recordings(tmp_path):
    needs("resemblyzer", "speechmos")
    audio = sung("sofia")
    write_audio(tmp_path / "a.wav", audio, RATE)
    score, missing = build_scorer()
    scores = score(audio, RATE, tmp_path / "a.wav")
    assert not missing and scores["similarity"] > 0.99 and 1 <= scores["dnsmos_ovrl"] <= 5
    assert np.isnan(score(audio, RATE, tmp_path / "gone.wav")["similarity"])


def test_lyrics_are_split_into_words_and_may_be_a_file(tmp_path):
    found = words.words_of("Don’t  stop, SINGING – (re-enter) 42!")
    assert found == ["don't", "stop", "singing", "re-enter", "42"]
    assert words.words_of("…") == []
    path = tmp_path / "歌.TXT"
    path.write_text("la la", encoding="utf-8")
    assert words.read_text(str(path)) == "la la" and words.read_text("la la") == "la la"
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigError, match="cannot be read as UTF-8"):
        words.read_text(str(path))


def test_errors_are_counted_per_word():
    needs("jiwer")
    assert words.error_rate(["a", "b", "c", "d"], ["a", "x", "c"]) == 0.5
    assert words.error_rate(["a"], []) == 1.0 and words.error_rate(["a"], ["a"]) == 0.0
    assert np.isnan(words.error_rate([], ["a"]))


def test_phones_are_compared_with_those_of_the_source():
    needs("pocketsphinx", "jiwer")
    audio = sung("tomas")
    evaluator = words.PhoneErrors(EvalInputs())
    same = evaluator.evaluate(convert(audio, audio))["phone_error"]
    assert same.value == 0 <= same.reference
    assert evaluator.evaluate(convert(audio, 0.1 * noise(len(audio))))["phone_error"].value > 0.3
    silent = convert(*[np.zeros(1000, np.float32)] * 2)
    assert np.isnan(evaluator.evaluate(silent)["phone_error"].value)
    song, noisy = convert(audio, audio).song, audio + 0.02 * noise(len(audio))
    first = evaluator.measure(noisy, song)
    evaluator.measure(0.3 * noise(3 * RATE), song)  # a recording before does not influence the next
    assert evaluator.measure(noisy, song) == first and first["phone_error"] > 0


def test_words_unknown_to_the_recogniser_are_reported(caplog):
    needs("pocketsphinx", "jiwer")
    evaluator = words.WordErrors(EvalInputs(texts=["la xyzzyx"]))
    assert "knows no xyzzyx" in caplog.text
    silent = convert(sung("tomas", 1.0), np.zeros(RATE, np.float32), "la xyzzyx")
    score = evaluator.evaluate(silent)["word_error"]
    assert score.value >= 0.5 and np.isfinite(score.reference)
    with pytest.raises(Unavailable, match="knows no word of --text: xyzzyx"):
        words.WordErrors(EvalInputs(texts=["xyzzyx"]))
