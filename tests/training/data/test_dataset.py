import math
from dataclasses import replace

import pytest
import torch

from modules.common.errors import ConfigError, FeatureError
from modules.dataset.feature_record import FeatureRecord
from modules.dataset.features import feature_path, load_mel, load_units
from modules.dsp.align import align_units
from tests.training.support.clips import CONFIG, make_clips, with_train
from training.data.dataset import GlowDataset
from training.data.filelist import read_filelist
from vencoder import ENCODERS


def test_long_clips_give_more_windows_of_aligned_features(tmp_path):
    clips = make_clips(tmp_path, {"a": [160], "b": [16]})
    data = GlowDataset(clips, CONFIG, augment=True)
    assert len(data) == 10 + 1
    whole = GlowDataset(clips, CONFIG, augment=False)[0, 0]
    window = data[0, 4]
    matches = (whole.mel.unfold(2, 16, 1)[0] == window.mel[0].unsqueeze(1)).all(0).all(-1).nonzero()
    start = int(matches[0])
    assert torch.equal(window.units, whole.units[..., start : start + 16])
    assert data[0, 10].speaker_id == 1 and data[0, 10].lengths == 16


def test_lengths_are_those_of_the_records_so_no_feature_is_read_at_the_start(tmp_path):
    clips = make_clips(tmp_path, {"a": [160, 40]})
    lengths = GlowDataset(clips, CONFIG, augment=True).lengths
    for wav, n_frames in zip(clips, (160, 40), strict=True):
        FeatureRecord(n_frames=n_frames).save(wav)
        feature_path(wav, "f0").unlink()
    assert GlowDataset(clips, CONFIG, augment=True).lengths == lengths


def test_augmentation_scales_mel_and_volume_and_adds_noise_on_training_items_only(tmp_path):
    clips = make_clips(tmp_path, {"a": [16]})
    config = replace(with_train(vol_aug=True), model=replace(CONFIG.model, vol_embedding=True))
    whole = GlowDataset(clips, config, augment=False)[0, 0]
    loud = GlowDataset(clips, config, augment=True)[0, 0]
    gain = loud.volume / whole.volume
    assert torch.all(gain < 1)
    expected = (whole.mel + gain.log().unsqueeze(1)).clamp(min=math.log(1e-5))
    torch.testing.assert_close(loud.mel, expected)
    unheard = GlowDataset(clips, with_train(vol_aug=True), augment=True)[0, 0]
    assert torch.equal(unheard.mel, whole.mel)  # of a model that is not told the loudness
    config = with_train(mel_noise=0.1)
    noisy, true = (GlowDataset(clips, config, augment=on)[0, 0].mel for on in (True, False))
    assert torch.equal(true, whole.mel) and 0.08 < (noisy - true).std() < 0.12


def test_validation_takes_the_first_20_seconds(tmp_path):
    """Attention over a whole song would need gigabytes."""
    (wav,) = make_clips(tmp_path, {"a": [2000]})
    config = replace(CONFIG, model=replace(CONFIG.model, vol_embedding=True))
    item = GlowDataset([wav], config, augment=False)[0, 0]
    n = round(20 * 44100 / 512)
    assert item.lengths == n and item.volume.shape == item.f0.shape == item.uv.shape == (1, n)
    assert torch.equal(item.mel[0], load_mel(wav)[:, :n])
    clock = ENCODERS[CONFIG.model.speech_encoder].clock
    assert torch.equal(item.units[0], align_units(load_units(wav), 2000, CONFIG.data, clock)[:, :n])


@pytest.mark.parametrize("encoder", ["mfcc", "vec768l12", "whisper-ppg"])
def test_units_are_aligned_by_the_clock_of_the_encoder(tmp_path, encoder):
    (wav,) = make_clips(tmp_path, {"a": [160]})
    config = replace(
        CONFIG,
        data=replace(CONFIG.data, unit_interpolate_mode="time"),
        model=replace(CONFIG.model, speech_encoder=encoder),
    )
    whole = align_units(load_units(wav), 160, config.data, ENCODERS[encoder].clock)
    assert torch.equal(GlowDataset([wav], config, augment=False)[0, 0].units[0], whole)
    window = GlowDataset([wav], config, augment=True)[0, 4]
    matches = (load_mel(wav).unfold(1, 16, 1) == window.mel[0].unsqueeze(1)).all(0).all(-1).nonzero()
    start = int(matches[0])
    assert torch.equal(window.units[0], whole[:, start : start + 16])


def test_bad_data_and_filelists_are_one_line(tmp_path):
    clips = make_clips(tmp_path, {"a": [20], "stranger": [20]})
    with pytest.raises(ConfigError, match="stranger"):
        GlowDataset(clips, CONFIG, augment=True)
    feature_path(clips[0], "mel").unlink()
    with pytest.raises(FeatureError, match=r"0\.wav\.mel\.pt"):
        GlowDataset(clips[:1], CONFIG, augment=False)[0, 0]
    with pytest.raises(FeatureError, match="12 channels, the model needs 768"):
        wide = replace(CONFIG, model=replace(CONFIG.model, ssl_dim=768))
        GlowDataset(clips[:1], wide, augment=False)[0, 0]
    path = tmp_path / "train.txt"
    with pytest.raises(ConfigError, match="does not exist"):
        read_filelist(path)
    for content, message in ((b"\n \n", "names no clip"), ("声.wav".encode("gbk"), "is not UTF-8")):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=message):
            read_filelist(path)
    for encoding in ("utf-8", "utf-8-sig"):  # as Notepad saves it
        path.write_text("dataset/44k/声 音/a b.wav\n", encoding=encoding)
        assert [clip.as_posix() for clip in read_filelist(path)] == ["dataset/44k/声 音/a b.wav"]
