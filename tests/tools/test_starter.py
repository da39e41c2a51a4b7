"""The recipe of the starter kit, as far as it needs no synthesizer."""

import shutil

import numpy as np
import pytest
import soundfile
import torch
from torch.nn.functional import conv1d

from model_tools.instant import make_instant_voice
from modules.checkpoint import model_state
from modules.common.errors import ConfigError
from modules.config import load_config, parse_config
from modules.dataset import features
from tests.support.golden_cases import voice
from tests.support.scripts import CONFIG, script  # noqa: F401 - a fixture
from tools.starter import base, clips
from tools.starter.clips import CLIP, N_COPIES, TOP, extend_bandwidth, joined, split, voices
from tools.starter.transfer import LAYERS, transferred
from vencoder import ENCODERS


def test_the_base_model_hears_natural_voices(tmp_path):
    for name in ("espeak-en-Alex", "flite-en-slt", "held-zh-000", "kokoro-en-007", "asterisk-en-f_Allison"):
        (tmp_path / name).mkdir()
    assert [path.name for path in voices(tmp_path)] == ["asterisk-en-f_Allison", "kokoro-en-007"]
    with pytest.raises(ConfigError, match="run the steps recordings and kokoro first"):
        voices(tmp_path / "nowhere")


def test_prompts_are_joined_until_there_is_enough():
    prompts = [np.full(48000, number, np.float32) for number in range(30)]  # 3 s each
    pieces = list(joined(prompts, 16000, 33))
    assert [len(piece) / 16000 for piece in pieces] == [12, 12, 9]
    assert np.array_equal(np.concatenate(pieces), np.concatenate(prompts[:11]))
    assert [len(piece) for piece in joined(prompts[:1], 16000, 33)] == [48000] and CLIP > 3


def test_the_band_above_is_a_copy_of_the_highest_octave():
    for rate, tone, gains, room in ((16000, 5000, [-6.0], 1), (16000, 5000, [-6.0, -18.0], 2),
                                    (24000, 8000, [-6.0, -18.0], 1), (44100, 8000, [-6.0], 0)):  # fmt: skip
        audio = np.sin(2 * np.pi * tone * np.arange(2 * rate) / rate).astype(np.float32)
        wide = extend_bandwidth(audio, rate, gains)
        assert len(wide) == 88200
        level = np.abs(np.fft.rfft(wide[22050:66150] * np.hanning(44100))) / 11025  # a bin is 1 Hz
        band = int(TOP * rate / 2)
        copies = [20 * np.log10(level[tone + band * number]) for number in range(1, room + 1)]
        assert copies == pytest.approx(gains[:room], abs=0.5)
        assert level[tone] == pytest.approx(1, abs=0.05)
        level[
            [f + i for f in (tone, *(tone + band * n for n in range(1, room + 1))) for i in range(-4, 5)]
        ] = 0
        assert 20 * np.log10(level.max()) < -60


def test_validation_takes_the_first_clip_of_some_voices(tmp_path):
    paths = [tmp_path / f"kokoro-en-{voice:03d}" / f"{clip}.wav" for voice in range(40) for clip in range(3)]
    training, validation = split(paths)
    assert sorted(training + validation) == paths and len(validation) == clips.N_VALIDATION
    assert {path.name for path in validation} == {"0.wav"}
    assert set(split(paths[:60])[1]) > set(split(paths)[1]) & set(paths[:60])  # the same when voices come


def test_a_base_model_goes_on_with_units_that_say_the_same():
    torch.manual_seed(0)
    old, map_ = torch.randn(500, 6), torch.randn(6, 9)
    new, layer = old @ map_, torch.randn(4, 6, 5)
    moved = transferred({**dict.fromkeys(LAYERS, layer), "other": layer}, old, new)
    for name in LAYERS:
        wanted, found = (conv1d(x.T, w) for x, w in ((old, layer), (new, moved[name])))
        assert torch.allclose(wanted, found, atol=0.05 * float(wanted.std()))
    assert moved["other"] is layer
    assert set(transferred({LAYERS[0]: layer}, old, new)) == {LAYERS[0]}


def test_the_recipe_goes_on_with_more_voices_and_another_encoder(script, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(
        base, "SIZES", {k: CONFIG["model"].get(k, 0) for k in base.SIZES} | {"n_flow_block_layer": 1}
    )
    monkeypatch.setitem(base.SIZES, "prenet_layers", 1)
    monkeypatch.setattr(base, "TRAIN", {**base.TRAIN, "batch_size": 2})
    monkeypatch.setattr(clips, "CLIP", 1.0)
    output = tmp_path / "out" / "base.safetensors"
    run = ["work", "--encoder", "mfcc", "--processes", "1", "--output", str(output)]
    for number, name in enumerate(("kokoro-en-000", "asterisk-it-m_Carlo")):
        folder = tmp_path / "work" / "speech" / name
        folder.mkdir(parents=True)
        for clip in range(2):
            sound = voice(1.5, 16000, 150.0 * (1 + number) + 20 * clip)
            soundfile.write(folder / f"{clip}-spoken.wav", sound, 16000)
        prepared = script(base.main, *run, "--prepare").out
        assert (
            prepared.startswith(f"{1 + number} voices, {2 + 2 * number} clips") and output.exists() == number
        )
        done = script(base.main, *run, "--minutes", 0.01 * (1 + number))
        assert done.code == 0 and f"{1 + number} training and {1 + number} validation" in done.out
    assert "continuing from" in done.log
    wav = tmp_path / "work/base/clips/kokoro-en-000/000.wav"
    assert len(features.load_perturbed_units(wav)) == N_COPIES
    mel, units = (features.feature_path(wav, kind).stat().st_mtime_ns for kind in ("mel", "units"))
    config = load_config(output.with_name("config.json"))
    clips.make_features([wav], config, clips.UNITS, 1)  # nothing to do

    other = ["work", "--encoder", "ppg-starter", "--processes", "1", "--minutes", "1e-9"]
    done = script(base.main, *other, "--start", str(output), "--output", str(tmp_path / "other" / "base.pth"))
    assert done.code == 0 and "continuing from" not in done.log
    begun, before = model_state(tmp_path / "other" / "base.pth"), model_state(output)
    kept = [name for name in before if name not in LAYERS and before[name].is_floating_point()]
    assert all(torch.allclose(begun[name], before[name], atol=1e-4) for name in kept)  # but for one step
    assert begun["pre.weight"].shape[1] == ENCODERS["ppg-starter"].ssl_dim

    shutil.rmtree(tmp_path / "work/base/ppg-starter")  # the run, whose sizes were others
    monkeypatch.setitem(base.SIZES, "prenet_channels", 4)
    wide = tmp_path / "wide" / "base.pth"
    done = script(base.main, *other, "--start", str(tmp_path / "other" / "base.pth"), "--output", str(wide))
    assert done.code == 0 and "units of" not in done.err  # of the same encoder: nothing to map
    wider = model_state(wide)
    assert wider["prenet.pre.weight"].shape[0] == 4
    assert all(torch.allclose(wider[name], begun[name], atol=1e-2) for name in kept)

    again = base.configuration("ppg-starter")
    clips.make_features([wav], parse_config(again), clips.UNITS | clips.WITHOUT_ENCODER, 1)
    assert features.feature_path(wav, "mel").stat().st_mtime_ns == mel
    assert features.feature_path(wav, "units").stat().st_mtime_ns > units

    soundfile.write(tmp_path / "bob.wav", voice(3.0, 44100, 110.0), 44100)
    path = make_instant_voice(tmp_path / "bob.wav", tmp_path / "voices", output)
    assert "emb_g.weight" in model_state(path) and load_config(path.with_name("config.json")).spk == {
        "bob": 0
    }
