from dataclasses import replace

import pytest
import torch

from modules.common.errors import ConfigError, FeatureError
from modules.dataset.features import augmented, feature_path, load_f0, load_mel, load_units, save_feature
from modules.dsp.align import align_units
from tests.training.support.clips import diffusion_config, make_clips
from tests.training.support.runs import CPU
from training.data.batches import collate
from training.data.diffusion_dataset import DiffusionDataset
from vencoder import ENCODERS

FRAMES = 17  # of 0.2 s


def place(window: torch.Tensor, whole: torch.Tensor) -> int:
    """First frame of ``window`` (M, W) in ``whole`` (M, N); fails if it is not in it."""
    matches = (whole.unfold(1, window.shape[-1], 1) == window.unsqueeze(1)).all(0).all(-1).nonzero()
    assert len(matches) == 1
    return int(matches[0])


@pytest.mark.parametrize("mode", ["nearest", "time"])
def test_an_augmented_mel_goes_with_its_volume_its_f0_and_its_shift(tmp_path, mode):
    """PITFALLS 21 and 23."""
    (wav,) = make_clips(tmp_path, {"b": [400]}, shift=-3.5)
    f0 = torch.linspace(100, 500, 400)
    save_feature(wav, "f0", torch.stack([f0, torch.ones(400)]).numpy())
    config = diffusion_config()
    config = replace(config, data=replace(config.data, unit_interpolate_mode=mode))
    data = DiffusionDataset([wav], config, augment=True)
    clock = ENCODERS[config.data.speech_encoder].clock
    mel, units = load_mel(wav), align_units(load_units(wav), 400, config.data, clock)
    assert len(data) == 400 // FRAMES and data.lengths == [FRAMES] * len(data)
    count = 0
    for epoch in range(4):
        for number in range(len(data)):
            item = data[epoch, number]
            shifted = bool(item.aug_shift)
            count += shifted
            start = place(item.mel[0], mel + 10 if shifted else mel)
            window = slice(start, start + FRAMES)
            assert item.aug_shift == (-3.5 if shifted else 0) and item.speaker == 1
            assert torch.all(item.volume == (0.2 if shifted else 0.1))
            factor = 2 ** (-3.5 / 12) if shifted else 1
            torch.testing.assert_close(item.f0[0], f0[window] * factor)
            assert torch.equal(item.units[0], units[:, window])
    assert 0.3 < count / (4 * len(data)) < 0.7


def test_without_pitch_augmentation_no_pair_is_needed_and_no_shift_given(tmp_path):
    clips = make_clips(tmp_path, {"a": [40]})
    data = DiffusionDataset(clips, diffusion_config({"use_pitch_aug": False}), augment=True, cache=CPU)
    assert len(data) == 2
    batch = collate([data[0, 0], data[0, 1]])
    assert batch.aug_shift is None and len(batch) == 2 and batch.mel.shape == (2, 128, FRAMES)


def test_a_cache_in_half_precision_gives_float32(tmp_path):
    clips = make_clips(tmp_path, {"a": [40]}, shift=2.0)
    full, half = (
        DiffusionDataset(clips, diffusion_config(cache_fp16=fp16), augment=True, cache=CPU)
        for fp16 in (False, True)
    )
    for kind in ("mel", "units", "f0", "volume", "aug_mel", "aug_volume"):
        feature_path(clips[0], kind).unlink()  # each file is read once
    kept = half._memory[0]
    assert {kept.units.dtype, *(version.mel.dtype for version in kept.versions)} == {torch.float16}
    assert kept.f0.dtype == torch.float32  # in half precision 440 Hz is off by a quarter Hz
    for number in range(len(full)):
        one, two = full[0, number], half[0, number]
        assert two.mel.dtype == two.units.dtype == torch.float32
        torch.testing.assert_close(one.mel, two.mel, rtol=1e-3, atol=1e-3)
        assert torch.equal(one.f0, two.f0)


def test_short_clips_are_counted_named_and_left_out(tmp_path, caplog):
    clips = make_clips(tmp_path, {"a": [FRAMES - 1] * 7 + [FRAMES], "b": [40]}, shift=2.0)
    data = DiffusionDataset(clips, diffusion_config(), augment=True)
    assert data.clips == clips[7:] and len(data) == 1 + 2
    assert data[0, 0].speaker == 0 and data[0, 1].speaker == 1
    (message,) = caplog.messages
    assert "7 of 9 training clips are shorter than data.duration, 0.2 s, and left out" in message
    assert all(str(clip) in message for clip in clips[:5]) and str(clips[5]) not in message
    assert message.endswith("and 2 more")
    with pytest.raises(FeatureError, match=r"all 7 training clips are shorter .* below 0\.19, the longest"):
        DiffusionDataset(clips[:7], diffusion_config(), augment=True)


def test_validation_takes_whole_clips_as_they_are(tmp_path):
    clips = make_clips(tmp_path, {"a": [1, 9], "b": [2000]})
    data = DiffusionDataset(clips, diffusion_config(), augment=False)
    assert [data[0, n].mel.shape[-1] for n in range(3)] == [1, 9, round(20 * 44100 / 512)]
    item = data[7, 2]
    assert torch.equal(item.mel[0], load_mel(clips[2])[:, :1723]) and item.aug_shift == 0
    assert torch.equal(item.f0[0], load_f0(clips[2])[0][:1723])


def test_bad_and_missing_data_is_one_line(tmp_path):
    clips = make_clips(tmp_path, {"a": [40], "stranger": [40]}, shift=2.0)
    with pytest.raises(ConfigError, match="stranger"):
        DiffusionDataset(clips, diffusion_config(), augment=True)

    def refused(message, **data):
        with pytest.raises(FeatureError, match=message):
            DiffusionDataset(clips[:1], diffusion_config(data=data), augment=True, cache=CPU)

    refused("12 channels, the model needs 768", encoder_out_channels=768)
    refused("128 bins", n_mels=80)
    save_feature(clips[0], "volume", torch.ones(39).numpy())
    refused("39 and 40 frames")
    save_feature(clips[0], "aug_volume", augmented(77, 2.0, torch.ones(40).numpy()))
    refused("of another pair")
    torch.save(torch.full((40, 128), float("nan")), feature_path(clips[0], "mel"))
    refused("NaN")
    for kind in ("aug_mel", "volume", "units"):
        clips = make_clips(tmp_path / kind, {"a": [40]}, shift=2.0)
        feature_path(clips[0], kind).unlink()
        refused(r"0\.wav\..* is missing; run preprocess_hubert_f0\.py")
