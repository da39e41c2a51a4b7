"""Judges that are packages of their own: what they say, and what is said where they are not installed."""

import sys

import numpy as np
import pytest

from evaluation.conversions import Song, Take
from evaluation.evaluators import build_judges, similarity, words
from evaluation.evaluators.base import Given, Unavailable, importing
from evaluation.validation import build_listener
from modules.common.errors import AudioError, ConfigError
from modules.dsp.audio import write_audio
from synthetic_voice import SINGERS, compose, sing

RATE = 44100
PACKAGES = ("resemblyzer", "speechmos", "pocketsphinx", "jiwer")


def needs(*packages: str) -> None:
    for package in packages:
        try:
            with importing(package):
                __import__(package)
        except Unavailable as reason:
            pytest.skip(str(reason))


def sung(name: str, seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    singer = SINGERS[name]
    return sing(compose(singer, seconds, seed), singer, seed=seed).audio


def song_of(audio: np.ndarray, text: str = "") -> Song:
    n = len(audio) // 512
    return Song("a", audio, RATE, np.full(n, 220.0, np.float32), np.ones(n, np.float32), text=text)


@pytest.fixture
def nothing_installed(monkeypatch):
    for package in PACKAGES:
        monkeypatch.setitem(sys.modules, package, None)
    similarity._encoder.cache_clear()
    yield
    similarity._encoder.cache_clear()


def test_what_is_not_installed_says_how_to_get_it_and_the_others_judge_on(nothing_installed, tmp_path):
    write_audio(tmp_path / "a.wav", sung("sofia"), RATE)
    judges, missing = build_judges(Given(target=[tmp_path / "a.wav"], texts=["la la"]))
    assert judges.keys() == {"melody", "likeness", "silence", "clicks", "loudness", "speed"}
    lacking = {"similarity_target", "similarity_source", "word_error", "phone_error"}
    assert missing.keys() == {*lacking, "dnsmos_ovrl", "dnsmos_p808"}
    how = "is not installed; get it with: python -m pip install -r requirements-quality.txt"
    assert all(reason.endswith(how) for reason in missing.values())
    assert missing["dnsmos_ovrl"].startswith("speechmos")


def test_a_package_that_a_package_needs_is_named():
    with pytest.raises(Unavailable, match=r"resemblyzer is not installed \(no_such_package is missing\)"):
        with importing("resemblyzer"):
            import no_such_package  # noqa: F401


def test_a_listener_of_validations_says_what_it_cannot_hear(nothing_installed, tmp_path):
    listen, missing = build_listener()
    assert listen(np.zeros(RATE, np.float32), RATE, tmp_path / "a.wav") == {}
    assert missing.keys() == {"similarity", "dnsmos_ovrl"}


def test_without_recordings_of_the_voice_or_words_the_judges_ask_for_them():
    with pytest.raises(Unavailable, match="--target FOLDER"):
        similarity.TargetSimilarity(Given())
    with pytest.raises(Unavailable, match="--text WORDS"):
        words.Words(Given())


def test_a_voice_is_like_itself_and_less_like_another(tmp_path):
    needs("resemblyzer")
    write_audio(tmp_path / "花 1.wav", sung("sofia", seed=1), RATE)
    judge = similarity.TargetSimilarity(Given(target=[tmp_path / "花 1.wav"]))
    take = Take(song_of(sung("tomas", seed=2)), sung("sofia", seed=3))
    score = judge.judge(take)["similarity_target"]
    assert 1 >= score.value > score.reference + 0.05
    assert similarity.SourceSimilarity(Given()).judge(take)["similarity_source"].value < score.value
    silent = Take(song_of(np.zeros(RATE, np.float32)), np.zeros(RATE, np.float32))
    assert np.isnan(judge.judge(silent)["similarity_target"].value)


def test_recordings_in_which_nobody_is_heard_are_refused(tmp_path):
    needs("resemblyzer")
    write_audio(tmp_path / "a.wav", np.zeros(RATE), RATE)
    with pytest.raises(Unavailable, match="no voice is heard"):
        similarity.TargetSimilarity(Given(target=[tmp_path / "a.wav"]))
    (tmp_path / "b.wav").write_text("words")
    with pytest.raises(AudioError, match="b.wav cannot be read"):
        similarity.TargetSimilarity(Given(target=[tmp_path / "b.wav"]))


def test_noise_lowers_dnsmos(tmp_path):
    needs("speechmos")
    from evaluation.evaluators.naturalness import Naturalness, dnsmos

    clean = sung("sofia")
    noise = np.random.default_rng(0).standard_normal(len(clean)).astype(np.float32)
    scores = Naturalness(Given()).judge(Take(song_of(clean), clean + 0.3 * noise))
    assert all(1 <= score.value < score.reference <= 5 for score in scores.values())
    assert np.isnan(dnsmos(clean[:100], RATE)[0])


def test_a_listener_hears_a_sound_and_its_recording(tmp_path):
    needs("resemblyzer", "speechmos")
    audio = sung("sofia")
    write_audio(tmp_path / "a.wav", audio, RATE)
    listen, missing = build_listener()
    scores = listen(audio, RATE, tmp_path / "a.wav")
    assert not missing and scores["similarity"] > 0.99 and 1 <= scores["dnsmos_ovrl"] <= 5
    assert np.isnan(listen(audio, RATE, tmp_path / "gone.wav")["similarity"])


def test_words_of_a_text():
    found = words.words_of("Don’t  stop, SINGING – (re-enter) 42!")
    assert found == ["don't", "stop", "singing", "re-enter", "42"]
    assert words.words_of("…") == []


def test_a_text_may_be_a_file(tmp_path):
    path = tmp_path / "歌.TXT"
    path.write_text("la la", encoding="utf-8")
    assert words.read_text(str(path)) == "la la" and words.read_text("la la") == "la la"
    with pytest.raises(ConfigError, match="nowhere.txt cannot be read"):
        words.read_text("nowhere.txt")
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
    judge = words.Phones(Given())
    same = judge.judge(Take(song_of(audio), audio))["phone_error"]
    assert same.value == 0 <= same.reference
    noise = np.random.default_rng(0).standard_normal(len(audio)).astype(np.float32)
    assert judge.judge(Take(song_of(audio), 0.1 * noise))["phone_error"].value > 0.3
    silent = Take(song_of(np.zeros(1000, np.float32)), np.zeros(1000, np.float32))
    assert np.isnan(judge.judge(silent)["phone_error"].value)


def test_what_is_heard_does_not_depend_on_what_was_heard_before():
    needs("pocketsphinx", "jiwer")
    rng = np.random.default_rng(0)
    audio = sung("tomas", 2.0)
    audio += 0.02 * rng.standard_normal(len(audio)).astype(np.float32)
    decoder = words.Phones(Given())._decoder
    first = words.recognise(decoder, audio, RATE)
    words.recognise(decoder, 0.3 * rng.standard_normal(3 * RATE).astype(np.float32), RATE)
    assert words.recognise(decoder, audio, RATE) == first


def test_words_that_the_recogniser_does_not_know_are_told(caplog):
    needs("pocketsphinx", "jiwer")
    judge = words.Words(Given(texts=["la xyzzyx"]))
    assert "knows no xyzzyx" in caplog.text
    audio = sung("tomas", 1.0)
    score = judge.judge(Take(song_of(audio, "la xyzzyx"), np.zeros(RATE, np.float32)))["word_error"]
    assert score.value >= 0.5 and np.isfinite(score.reference)
    with pytest.raises(Unavailable, match="knows no word of --text: xyzzyx"):
        words.Words(Given(texts=["xyzzyx"]))
