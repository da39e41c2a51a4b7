import math
from dataclasses import replace

import pytest
import torch
from torch.utils.data import DataLoader

from modules.common.errors import ConfigError, FeatureError
from modules.dataset.features import feature_path, load_mel, load_units
from modules.dsp.align import align_units
from tests.training.clips import CONFIG, make_clips, with_train
from training.data.batches import collate
from training.data.dataset import GlowDataset
from training.data.filelist import read_filelist


def test_windows_follow_from_seed_epoch_and_item_alone(tmp_path):
    clips = make_clips(tmp_path, {"a": [40, 50]}, perturbed=2)
    one, two = (GlowDataset(clips, CONFIG, augment=True) for _ in range(2))
    for item in (3, 0, 2):  # any order
        assert torch.equal(one[0, item].mel, two[0, item].mel) and torch.equal(
            one[0, item].units, two[0, item].units
        )
    before = torch.cat([one[0, item].mel[..., :8] for item in range(len(one))])
    assert not torch.equal(before, torch.cat([one[1, item].mel[..., :8] for item in range(len(one))]))


def test_long_clips_give_more_windows_and_all_features_stay_together(tmp_path):
    clips = make_clips(tmp_path, {"a": [160], "b": [16]})
    data = GlowDataset(clips, CONFIG, augment=True)
    assert len(data) == 10 + 1
    whole = GlowDataset(clips, CONFIG, augment=False)[0, 0]
    window = data[0, 4]
    matches = (whole.mel.unfold(2, 16, 1)[0] == window.mel[0].unsqueeze(1)).all(0).all(-1).nonzero()
    start = int(matches[0])
    assert torch.equal(window.units, whole.units[..., start : start + 16])
    assert data[0, 10].speaker_id == 1 and data[0, 10].lengths == 16


def test_perturbed_units_are_drawn_in_training_only(tmp_path):
    clips = make_clips(tmp_path, {"a": [160]}, perturbed=3)
    data = GlowDataset(clips, with_train(perturb_ratio=0.5), augment=True)
    perturbed = [bool(data[0, item].units.mean() > 50) for item in range(len(data))]
    assert 0 < sum(perturbed) < len(data)
    assert GlowDataset(clips, CONFIG, augment=False)[0, 0].units.mean() < 50


def test_loudness_moves_mel_and_volume_together(tmp_path):
    clips = make_clips(tmp_path, {"a": [16]})
    config = replace(with_train(vol_aug=True), model=replace(CONFIG.model, vol_embedding=True))
    whole = GlowDataset(clips, config, augment=False)[0, 0]
    loud = GlowDataset(clips, config, augment=True)[0, 0]
    gain = loud.volume / whole.volume
    assert torch.all(gain < 1)
    expected = (whole.mel + gain.log().unsqueeze(1)).clamp(min=math.log(1e-5))
    torch.testing.assert_close(loud.mel, expected)


@pytest.mark.parametrize(("name", "field"), [("mel_noise", "mel"), ("unit_noise", "units")])
def test_noise_is_on_training_items_only(tmp_path, name, field):
    clips = make_clips(tmp_path, {"a": [16]})
    config = with_train(**{name: 0.1})
    true = getattr(GlowDataset(clips, config, augment=False)[0, 0], field)
    assert torch.equal(true, getattr(GlowDataset(clips, CONFIG, augment=False)[0, 0], field))
    noise = getattr(GlowDataset(clips, config, augment=True)[0, 0], field) - true
    assert 0.08 < noise.std() < 0.12


def test_validation_takes_the_first_20_seconds(tmp_path):
    """Attention over a whole song would need gigabytes."""
    (wav,) = make_clips(tmp_path, {"a": [2000]})
    config = replace(CONFIG, model=replace(CONFIG.model, vol_embedding=True))
    item = GlowDataset([wav], config, augment=False)[0, 0]
    n = round(20 * 44100 / 512)
    assert item.lengths == n and item.volume.shape == item.f0.shape == item.uv.shape == (1, n)
    assert torch.equal(item.mel[0], load_mel(wav)[:, :n])
    assert torch.equal(item.units[0], align_units(load_units(wav), 2000, "nearest")[:, :n])


def test_collate_pads_with_zeros(tmp_path):
    data = GlowDataset(make_clips(tmp_path, {"a": [9], "b": [14]}), CONFIG, augment=False)
    batch = collate([data[0, 0], data[0, 1]])
    assert batch.units.shape == (2, 12, 14) and batch.mel.shape == (2, 128, 14) and batch.f0.shape == (2, 14)
    assert batch.lengths.tolist() == [9, 14] and batch.speaker_id.tolist() == [0, 1]
    assert not batch.mel[0, :, 9:].any() and torch.equal(batch.mel[0, :, :9], data[0, 0].mel[0])


@pytest.mark.parametrize("in_memory", [True, False])
def test_workers_do_not_change_the_data(tmp_path, in_memory):
    data = GlowDataset(make_clips(tmp_path, {"a": [40, 50]}), with_train(all_in_mem=in_memory), augment=True)
    batches = [[(3, 0), (3, 4)], [(4, 2)]]
    loader = DataLoader(
        data,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=1,
        multiprocessing_context="spawn",
    )
    for items, batch in zip(batches, loader, strict=True):
        assert torch.equal(batch.mel, collate([data[item] for item in items]).mel)


def test_bad_data_is_named(tmp_path):
    clips = make_clips(tmp_path, {"a": [20], "stranger": [20]})
    with pytest.raises(ConfigError, match="stranger"):
        GlowDataset(clips, CONFIG, augment=True)
    feature_path(clips[0], "mel").unlink()
    with pytest.raises(FeatureError, match=r"0\.wav\.mel\.pt"):
        GlowDataset(clips[:1], CONFIG, augment=False)[0, 0]
    with pytest.raises(FeatureError, match="12 channels, the model needs 768"):
        wide = replace(CONFIG, model=replace(CONFIG.model, ssl_dim=768))
        GlowDataset(clips[:1], wide, augment=False)[0, 0]


def test_filelists(tmp_path):
    path = tmp_path / "train.txt"
    with pytest.raises(ConfigError, match="does not exist"):
        read_filelist(path)
    path.write_text("\n \n", encoding="utf-8")
    with pytest.raises(ConfigError, match="names no clip"):
        read_filelist(path)
    path.write_text("声.wav", encoding="gbk")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        read_filelist(path)
    path.write_text("dataset/44k/声 音/a b.wav\n", encoding="utf-8-sig")  # as Notepad saves it
    assert read_filelist(path)[0].is_relative_to("dataset")
    path.write_text("dataset/44k/声 音/a b.wav\n", encoding="utf-8")
    assert [clip.name for clip in read_filelist(path)] == ["a b.wav"]
