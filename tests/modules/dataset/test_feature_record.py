import json
import os
from dataclasses import replace

import pytest

from modules.config import Config, DataConfig, ModelConfig
from modules.dataset import feature_record, features
from modules.dataset.feature_record import FeatureRecord, failed, find_unusable, identify, recipe, stale
from tests.modules.dataset.test_features import MEL, VALUES, VOLUME, N, values_of

CONFIG = Config(data=DataConfig(n_mels=4), model=ModelConfig(speech_encoder="mfcc", vol_embedding=True))
WANTED = recipe(CONFIG, "dio", use_diff=True, encoder_weights="none", n_perturbed=2)


@pytest.fixture
def wav(tmp_path):
    """A clip with all features and a record of them."""
    wav = tmp_path / "x.wav"
    wav.write_bytes(b"sound")
    record = FeatureRecord(audio=identify(wav), n_frames=N, wanted=sorted(WANTED))
    for kind, settings in WANTED.items():
        features.save_feature(wav, kind, VALUES[kind])
        record.finish(wav, kind, settings)
    return wav


def problems(wavs, config=CONFIG, use_diff=False):
    return find_unusable(wavs, recipe(config, use_diff=use_diff))


def touch(path):
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))


def test_a_finished_clip_has_nothing_stale_until_its_recording_changes_not_just_its_date(wav):
    assert stale(wav, WANTED) == {}
    assert problems([wav]) == problems([wav], use_diff=True) == []
    for kind in WANTED:
        touch(features.feature_path(wav, kind))
    touch(wav)
    assert stale(wav, WANTED) == {}
    wav.write_bytes(b"Sound")
    assert stale(wav, WANTED) == dict.fromkeys(WANTED, "the recording changed")
    assert "the recording changed" in problems([wav])[0]


def test_a_copied_data_set_is_read_in_full_once(wav, monkeypatch):
    for path in (wav, *(features.feature_path(wav, kind) for kind in WANTED)):
        touch(path)
    read, digest, n_frames = [], feature_record._digest, feature_record.n_frames
    monkeypatch.setattr(feature_record, "_digest", lambda path: read.append(path) or digest(path))
    monkeypatch.setattr(feature_record, "n_frames", lambda *args: read.append(args) or n_frames(*args))
    assert problems([wav], use_diff=True) == [] and len(read) == 7  # the recording and six features
    assert problems([wav], use_diff=True) == [] and len(read) == 7
    features.feature_path(wav, "f0").write_bytes(b"short")
    assert "cut short or overwritten" in problems([wav])[0]


def test_a_changed_setting_is_named_and_affects_only_its_features(wav):
    low = replace(CONFIG, data=DataConfig(n_mels=4, f_max=8000.0))
    for wanted, kinds, reason in [
        (recipe(CONFIG, "pm", True, n_perturbed=2), ["f0"], "f0 predictor changed from dio to pm"),
        (
            recipe(CONFIG, "dio", encoder_weights="new.pt", n_perturbed=2),
            ["units", "perturbed_units"],
            "encoder weights changed from none to new.pt",
        ),
        (recipe(CONFIG, "dio", n_perturbed=3), ["perturbed_units"], "n perturbed changed from 2 to 3"),
        (
            recipe(low, "dio", True, n_perturbed=2),
            ["mel", "aug_mel", "aug_volume"],
            "f max changed from 16000.0 to 8000.0",
        ),
    ]:
        assert stale(wav, wanted) == dict.fromkeys(kinds, reason)


def test_features_without_record_are_published_ones_or_new(tmp_path, wav):
    feature_record.record_path(wav).write_text("{cut sh")
    assert set(stale(wav, WANTED).values()) == {"no record of what made them"}
    other = tmp_path / "other.wav"
    other.write_bytes(b"sound")
    assert stale(other, WANTED) == dict.fromkeys(WANTED, "new")
    assert problems([other]) == [f"{other}: new (units, f0, mel, volume)"]


@pytest.mark.parametrize("kind", WANTED)
@pytest.mark.parametrize("damage", ["deleted", "cut short", "damaged", "of another length"])
def test_a_damaged_file_is_found_also_by_training(wav, kind, damage):
    path = features.feature_path(wav, kind)
    if damage == "deleted":
        path.unlink()
    elif damage == "cut short":
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == "damaged":  # same size, so only reading it tells
        path.write_bytes(bytes(path.stat().st_size))
        touch(path)
    else:
        features.save_feature(wav, kind, values_of(MEL[:-1], VOLUME[:-1])[kind])
        record = json.loads(feature_record.record_path(wav).read_text())
        record["made"][kind]["bytes"] = path.stat().st_size
        feature_record.record_path(wav).write_text(json.dumps(record))
        touch(path)
        if "units" in kind:
            assert stale(wav, WANTED) == {}  # they have a rate of their own
            return
    found = stale(wav, WANTED)
    pair = {"aug_mel", "aug_volume"}
    assert found.keys() == (pair if kind in pair else {kind}) and damage in found[kind]
    assert bool(problems([wav], use_diff=True)) == (kind in recipe(CONFIG, use_diff=True))


def test_training_refuses_other_settings_and_missing_unfinished_or_failed_clips(tmp_path, wav):
    other = replace(CONFIG, model=replace(CONFIG.model, speech_encoder="vec768l12"))
    assert problems([wav], other) == [f"{wav}: encoder changed from mfcc to vec768l12 (units)"]
    assert "no such file" in problems([tmp_path / "gone.wav"])[0]
    record = FeatureRecord.load(wav)
    del record.made["perturbed_units"]  # which training could do without
    record.save(wav)
    assert problems([wav]) == [f"{wav}: not finished (perturbed_units)"]
    # a clip that failed says why until it is replaced
    FeatureRecord(audio=identify(wav), failed="x.wav is noise").save(wav)
    assert failed(wav) == "x.wav is noise"
    assert problems([wav]) == ["x.wav is noise"]
    assert set(stale(wav, WANTED).values()) == {"not made yet"}
    wav.write_bytes(b"better")
    assert failed(wav) == ""
    assert "the recording changed" in problems([wav])[0]
