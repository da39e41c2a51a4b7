"""Features of several clips at once, of long ones, and of those that do not fit into memory."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from modules.config import Config, load_config
from modules.dataset import features
from modules.dataset.feature_record import failed, recipe, stale
from tests.support.golden_cases import voice
from tests.support.memory import memory_grown
from training.data.extraction import ExtractionJob, Extractor, in_batches

RATE = 44100


@pytest.fixture
def config(tmp_path) -> Config:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"data": {}, "model": {"speech_encoder": "mfcc", "ssl_dim": 12}}))
    return load_config(path)


def put(path: Path, audio: np.ndarray) -> Path:
    soundfile.write(path, audio, RATE, subtype="PCM_16")
    return path


def test_a_gpu_gets_a_minute_of_clips_at_a_time_with_the_same_result(config, tmp_path):
    """Batches change nothing in what is stored, and one bad clip spoils none of the others."""
    wavs = [put(tmp_path / f"{number}.wav", voice(0.6, RATE)) for number in range(4)]
    wanted = recipe(config, "pm")
    jobs = [ExtractionJob(wav, wanted, frozenset({"units"}), 0) for wav in wavs]
    extractor = Extractor(config.data, "mfcc", "pm", "cpu")
    assert [extractor.process([job]) for job in jobs] == [[""]] * 4
    one_by_one = [features.load_units(wav) for wav in wavs]
    wavs[2].write_bytes(b"no sound")
    batches = in_batches(jobs, RATE)
    assert batches == [jobs]
    assert sum(map(len, in_batches(jobs * 50, RATE))) == 200 and len(in_batches(jobs * 50, RATE)) > 1
    assert [bool(reason) for reason in extractor.process(batches[0])] == [False, False, True, False]
    for number in (0, 1, 3):
        assert torch.equal(features.load_units(wavs[number]), one_by_one[number])


def test_a_batch_that_does_not_fit_is_done_clip_by_clip_and_the_clip_is_named(config, tmp_path, monkeypatch):
    wavs = [put(tmp_path / f"{number}.wav", voice(0.3 + number * 0.3, RATE)) for number in range(3)]
    wanted = recipe(config, "pm")
    jobs = [ExtractionJob(wav, wanted, frozenset({"units"}), 0) for wav in wavs]
    extractor = Extractor(config.data, "mfcc", "pm", "cpu")
    sizes, encode = [], extractor.encoder._encode

    def limited(waves):
        sizes.append(len(waves))
        if sum(map(len, waves)) > 0.7 * 16000:
            torch.empty(1 << 50)
        return encode(waves)

    monkeypatch.setattr(extractor.encoder, "_encode", limited)
    reasons = extractor.process(jobs)
    assert sizes == [3, 1, 1, 1] and reasons[:2] == ["", ""]
    assert reasons[2] == f"{wavs[2]}: cpu is out of memory; cut it with resample.py --slice"
    assert [failed(wav) for wav in wavs] == reasons

    def broken(waves):
        raise RuntimeError("the shapes do not fit")

    monkeypatch.setattr(extractor.encoder, "_encode", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        extractor.process(jobs)


def test_memory_hardly_grows_with_the_clip(config, tmp_path):
    """Beside the clip itself and its features, windows of half a minute are held."""
    wav = put(tmp_path / "long.wav", np.tile(voice(10.0, RATE), 12))
    wanted = recipe(config, "pm", True)
    extractor = Extractor(config.data, "mfcc", "pm", "cpu")
    warm = put(tmp_path / "warm.wav", voice(0.6, RATE))
    first, job = (ExtractionJob(path, wanted, frozenset(wanted), 0) for path in (warm, wav))
    grown = memory_grown(lambda: extractor.process([job]), warm_up=lambda: extractor.process([first]))
    assert grown < 240 << 20
    assert stale(wav, wanted) == {}
