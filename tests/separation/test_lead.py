"""The lead among voices: beside it, and at the same place."""

import numpy as np
import pytest

from modules.f0_predictor import F0_PREDICTORS
from separation.base import RATE
from separation.lead import HOP, LeadSplitter
from synthetic_voice import compose, sing

CENTRE = np.ones(2, np.float32)


def share_within_50_cents(truth: np.ndarray, f0: np.ndarray) -> float:
    """Share of the truly voiced frames whose F0 is right."""
    cents = 1200 * np.abs(np.log2(np.maximum(f0, 1) / np.maximum(truth, 1)))
    return float((cents[truth > 0] < 50).mean())


def performances(first: str, second: str, seconds: float = 8.0):
    found = [
        sing(compose(singer, seconds, seed), singer, seed) for singer, seed in ((first, 11), (second, 12))
    ]
    levels = [np.sqrt(np.square(performance.audio).mean()) for performance in found]
    return found, [found[0].audio, found[1].audio * np.float32(levels[0] / levels[1] * 0.8)]


def tracked(audio: np.ndarray) -> np.ndarray:
    f0, uv = F0_PREDICTORS.build("pm").predict(audio)
    return f0 * uv


@pytest.fixture(scope="module")
def duet():
    return performances("ivan", "noor")


def test_of_two_voices_at_one_place_each_gets_its_own_melody(duet):
    (first, second), sounds = duet
    mixed = sum(sounds)
    splitter = LeadSplitter(np.stack([mixed, mixed], 1), CENTRE)
    times = np.arange(len(splitter.tracks.first)) * HOP / RATE
    assert share_within_50_cents(first.f0_at(times), splitter.tracks.first) > 0.8
    assert share_within_50_cents(second.f0_at(times), splitter.tracks.second) > 0.8
    lead = np.concatenate(list(splitter.lead()))[:, 0]
    times = np.arange(len(mixed) // 512) * 512 / RATE
    for performance, sound in ((first, lead), (second, mixed - lead)):
        truth = performance.f0_at(times)
        assert share_within_50_cents(truth, tracked(sound)) > 0.8
        assert share_within_50_cents(truth, tracked(mixed)) < 0.5  # what the plain chain hears


def test_a_voice_beside_the_lead_goes_to_the_backing(duet):
    _, (lead, other) = duet
    vocals = np.stack([lead + other, lead], 1)
    found = np.concatenate(list(LeadSplitter(vocals, CENTRE).lead()))[:, 0]
    before, after = (
        np.square(lead).sum() / np.square(sound - lead).sum() for sound in (vocals.mean(1), found)
    )
    assert after > 4 * before  # 6 dB


@pytest.mark.parametrize("singer", ["sofia", "bruno"])  # a wide vibrato, and dense harmonics
def test_a_single_voice_stays_whole(singer):
    audio = sing(compose(singer, 6.0, 3), singer, 3).audio
    splitter = LeadSplitter(np.stack([audio * 1.2, audio * 0.7], 1), np.array([1.221, 0.713]))
    assert not splitter.tracks.second.any()
    lead = np.concatenate(list(splitter.lead()))[:, 0]
    wanted = audio * (1.2 * 1.221 + 0.7 * 0.713) / 2
    assert np.square(lead - wanted).sum() < 1e-4 * np.square(wanted).sum()


@pytest.mark.parametrize("n_samples", [0, 1, 5000])
def test_short_ones(n_samples):
    lead = list(LeadSplitter(np.ones((n_samples, 2), np.float32), CENTRE).lead())
    assert sum(map(len, lead)) == n_samples


def test_windows_of_a_long_song_join(monkeypatch, duet):
    _, sounds = duet
    mixed = np.stack([sum(sounds)] * 2, 1)
    whole = np.concatenate(list(LeadSplitter(mixed, CENTRE).lead()))
    monkeypatch.setattr("separation.lead._STEP", 100 * HOP)
    monkeypatch.setattr("separation.lead._MARGIN", 60 * HOP)
    pieces = list(LeadSplitter(mixed, CENTRE).lead())
    assert len(pieces) > 2 and sum(map(len, pieces)) == len(whole)
    apart = np.square(np.concatenate(pieces) - whole).sum() / np.square(whole).sum()
    assert apart < 0.1  # a path is decided by what lies on both sides; mostly it is the same
