"""Results: published names, a tag that lasts, peaks that never wrap, no half files."""

import logging

import numpy as np
import pytest
import soundfile

from inference import output
from inference.options import ConvertOptions
from inference.peaks import HIGHEST
from modules.common.errors import AudioError, ConfigError
from tests.support.golden_cases import voice

RATE = 44100
TAG = "Voice conversion by Glow-SVC; speaker anna"


@pytest.mark.parametrize("form", output.TAGGED_FORMATS)
def test_every_offered_format_keeps_length_and_tag(tmp_path, form):
    path = tmp_path / "new" / f"x.{form.lower()}"
    audio = voice(0.3, RATE)
    with output.writing(path, RATE, form.lower(), TAG) as file:
        for block in np.split(audio, [1, 1, 5000]):
            file.write(block)
    with soundfile.SoundFile(path) as file:
        assert (file.format, file.frames, file.samplerate, file.channels) == (form, len(audio), RATE, 1)
        assert file.comment == TAG
    assert [found.name for found in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["花子 " * 8, "x" * 5000, "花" * 5000])
def test_long_and_foreign_tags(tmp_path, name):
    for form in output.TAGGED_FORMATS:
        with output.writing(tmp_path / "x", RATE, form, f"{TAG}: {name}") as file:
            file.write(np.zeros(100, np.float32))
        with soundfile.SoundFile(tmp_path / "x", format=None) as file:
            assert file.comment.startswith(TAG) and len(file.comment) <= output.LONGEST_TAG


def test_published_names_and_those_too_long_for_a_file_which_are_cut_within_the_song(tmp_path):
    assert output.result_name("song", 0, "anna", ConvertOptions()) == "song_0key_anna_glow_swift-f0.flac"
    options = ConvertOptions(f0_predictor="crepe", wav_format="WAV", shallow_diffusion=True)
    assert output.result_name("my song", -12.0, "花子", options) == "my song_-12key_花子_glowdiff_crepe.wav"
    options = ConvertOptions(f0_predictor="dio", wav_format="mp3", only_diffusion=True)
    assert output.result_name("x", 0.5, "a/b", options) == "x_0.5key_a_b_diff_dio.mp3"
    options = ConvertOptions(auto_predict_f0=True)
    assert output.result_name("x", 3, "anna", options) == "x_auto_anna_glow_swift-f0.flac"
    name = output.result_name("夜" * 80, 0, "花子", ConvertOptions())
    assert name == "夜" * 69 + "_0key_花子_glow_swift-f0.flac" and len(name.encode()) <= output.LONGEST_NAME
    with output.writing(tmp_path / name, RATE, "flac", TAG) as file:
        file.write(voice(0.1, RATE))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_other_formats_and_rates_that_a_format_lacks_are_refused(tmp_path):
    for name in ("m4a", "raw", "w64", "", "flac24"):
        with pytest.raises(ConfigError, match=r"-wf: .*flac, wav, mp3, ogg"):
            output.check_format(name)
    with (
        pytest.raises(AudioError, match=r"x\.mp3 cannot be written"),
        output.writing(tmp_path / "x.mp3", 384000, "mp3", TAG),
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_float_formats_and_a_song_that_fits_stay_and_one_that_would_clip_is_made_softer(tmp_path, caplog):
    for name, subtype, audio in (
        ("x.flac", "PCM_24", np.linspace(-1, 0.9, 1001, dtype=np.float32)),
        ("x.wav", "FLOAT", np.array([0.0, 1.5, -2.0], np.float32)),
    ):
        with output.writing(tmp_path / name, RATE, name[2:], TAG, subtype=subtype) as file:
            file.write(audio)
        found = soundfile.read(tmp_path / name, dtype="float32")[0]
        np.testing.assert_allclose(found, audio, rtol=0, atol=0 if subtype == "FLOAT" else 1e-6)
    assert not caplog.text
    audio = np.linspace(-2, 2, 600001, dtype=np.float32)  # more than one block
    with caplog.at_level(logging.WARNING), output.writing(tmp_path / "x.wav", RATE, "wav", TAG) as file:
        for part in np.array_split(audio, 7):
            file.write(part)
    found = soundfile.read(tmp_path / "x.wav", dtype="float32")[0]
    np.testing.assert_allclose(found, audio * HIGHEST / 2, atol=1 / 32767)
    assert "attenuated by 6.1 dB" in caplog.text


def test_a_single_peak_far_above_the_rest_is_lowered_and_not_the_song(tmp_path, caplog):
    audio = 0.5 * voice(2.0, RATE) / np.abs(voice(2.0, RATE)).max()
    peak = slice(RATE, RATE + 200)
    loud = audio.copy()
    loud[peak] = 10.0 * np.hanning(200)
    with output.writing(tmp_path / "x.wav", RATE, "wav", TAG, subtype="PCM_24") as file:
        for part in np.array_split(loud, 7):
            file.write(part)
    found = soundfile.read(tmp_path / "x.wav", dtype="float32")[0]
    near = slice(peak.start - RATE // 20, peak.stop + RATE // 20)
    for elsewhere in (slice(near.start), slice(near.stop, None)):
        np.testing.assert_allclose(found[elsewhere], audio[elsewhere], rtol=0, atol=1e-6)
    assert np.abs(found).max() <= HIGHEST + 1e-6
    gain = np.where(np.abs(loud) > 0.05, found / np.where(loud == 0, 1, loud), np.nan)
    assert np.nanmax(np.abs(np.diff(gain))) < 0.01  # no step, which would click
    assert "first at 1.00 s, are up to" in caplog.text and "attenuated" not in caplog.text


def test_each_option_that_changes_the_sound_is_in_the_name():
    near = {"cluster_infer_ratio": 0.5}
    for changes, name in (
        (near, "x_0key_a_0.5_glow_swift-f0.flac"),
        ({**near, "feature_retrieval": True}, "x_0key_a_0.5_glow_swift-f0_fr.flac"),
        ({"feature_retrieval": True}, "x_0key_a_glow_swift-f0.flac"),  # it has no effect
        ({"loudness_envelope_adjustment": 0.0}, "x_0key_a_glow_swift-f0_lea0.flac"),
        ({"shallow_diffusion": True, "second_encoding": True}, "x_0key_a_glowdiff_swift-f0_se.flac"),
        ({"shallow_diffusion": True, "k_step": 50}, "x_0key_a_glowdiff_swift-f0_ks50.flac"),
        ({"only_diffusion": True, "k_step": 50, "noise_scale": 0.1}, "x_0key_a_diff_swift-f0.flac"),
        ({"only_diffusion": True, "diffusion_method": "ddim"}, "x_0key_a_diff_swift-f0_ddim.flac"),
        ({"enhance": True, "enhancer_adaptive_key": 3.0}, "x_0key_a_glow_swift-f0_eh_eak3.flac"),
        ({"f0_predictor": "crepe", "f0_filter_threshold": 0.1}, "x_0key_a_glow_crepe_ft0.1.flac"),
        ({"clip": 2.5, "linear_gradient": 1.0, "precision": "bf16"}, "x_0key_a_glow_swift-f0_cl2.5_lg1.flac"),
    ):
        assert output.result_name("x", 0, "a", ConvertOptions(**changes)) == name


def test_failure_leaves_the_old_result(tmp_path):
    path = tmp_path / "x.flac"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), output.writing(path, RATE, "flac", TAG) as file:
        file.write(voice(0.1, RATE))
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
