"""Conversions with clusters, an index, a mix of voices, and the loudness of the source."""

import dataclasses
import json

import numpy as np
import pytest
import soundfile
import torch

from inference.converter import Converter
from inference.options import ConvertOptions
from inference.pipeline import Segment
from modules.checkpoint import write_checkpoint
from modules.common.errors import CheckpointError, ConfigError
from tests.inference.tiny import RATE, write_diffusion, write_model
from tests.support.golden_cases import voice


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    path = tmp_path_factory.mktemp("song") / "song.wav"
    soundfile.write(path, voice(1.5, RATE), RATE)
    return path


@pytest.fixture(scope="module")
def options(tmp_path_factory) -> ConvertOptions:
    folder = tmp_path_factory.mktemp("voice")
    model, config = write_model(folder / "glow")
    diffusion, yaml = write_diffusion(folder / "diffusion")
    return ConvertOptions(
        model_path=str(model),
        config_path=str(config),
        diffusion_model_path=str(diffusion),
        diffusion_config_path=str(yaml),
        device="cpu",
        wav_format="wav",
        pad_seconds=0.1,
        k_step=40,
    )


def convert(options, song, speaker="anna", **changes) -> np.ndarray:
    options = dataclasses.replace(options, **changes)
    result = Converter(options).convert(song, song.with_name("result.wav"), speaker)
    return soundfile.read(result.path, dtype="float32")[0]


def mix_file(folder, **tracks) -> str:
    path = folder / "混ぜ.json"
    path.write_text(json.dumps(tracks), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("mode", [{}, {"shallow_diffusion": True}, {"only_diffusion": True}], ids=str)
def test_a_mix_of_one_is_that_one(options, song, tmp_path, mode):
    """Glow, diffusion and both: shares of 0 and 1 give what an id gives."""
    mix = mix_file(tmp_path, anna=[[0, 1, 0, 0]], 花子=[[0, 1, 3, 3]])
    mixed = convert(options, song, use_spk_mix=True, spk_mix_file=mix, diffusion_speedup=20, **mode)
    alone = convert(options, song, "花子", diffusion_speedup=20, **mode)
    # a product with shares is summed in another order than a row is looked up
    np.testing.assert_allclose(mixed, alone, atol=2e-3 * np.abs(alone).max())


def test_a_mix_goes_from_one_voice_to_the_other(options, song, tmp_path):
    mix = mix_file(tmp_path, anna=[[0, 0.5, 1, 1], [0.5, 1, 0, 0]], 花子=[[0, 0.5, 0, 0], [0.5, 1, 1, 1]])
    mixed = convert(options, song, use_spk_mix=True, spk_mix_file=mix, wav_format="wav")
    first, second = (convert(options, song, name) for name in ("anna", "花子"))
    thirds = len(mixed) // 3

    def distance(a, b):  # the loudest of each is full scale, so levels may differ
        return 1 - np.corrcoef(a, b)[0, 1]

    assert distance(mixed[:thirds], first[:thirds]) < distance(mixed[:thirds], second[:thirds])
    assert distance(mixed[-thirds:], second[-thirds:]) < distance(mixed[-thirds:], first[-thirds:])


@pytest.mark.parametrize("rate", [8000, 22050, 48000])
def test_a_mix_goes_by_the_song_whatever_its_rate(options, tmp_path, monkeypatch, rate):
    """PITFALLS 44: the voice changes in the middle of the song, at the frame of the model's rate."""
    path = tmp_path / "song.flac"
    soundfile.write(path, voice(1.5, rate), rate)
    mix = mix_file(tmp_path, anna=[[0, 0.5, 1, 1], [0.5, 1, 0, 0]], 花子=[[0, 0.5, 0, 0], [0.5, 1, 1, 1]])
    changes = {"use_spk_mix": True, "spk_mix_file": mix, "pad_seconds": 0.0}
    converter = Converter(dataclasses.replace(options, **changes))
    seen: list[Segment] = []
    monkeypatch.setattr(converter, "synthesize", watched(converter.synthesize, seen))
    converter.convert(path, tmp_path / "r.wav", "anna")
    n_frames = -(-round(1.5 * RATE) // 512)
    (shares,) = (segment.speaker for segment in seen)
    assert abs(len(shares) - n_frames) <= 1
    assert abs(int(shares[:, 0].sum()) - n_frames // 2) <= 1 and set(np.unique(shares)) == {0.0, 1.0}


def test_rules_of_a_mix_are_told(options, song, tmp_path):
    mix = mix_file(tmp_path, anna=[[0, 0.9, 1, 1]], 花子=[[0, 1, 0, 0]])
    with pytest.raises(ConfigError, match="anna.*segment 1.*must end at 1"):
        convert(options, song, use_spk_mix=True, spk_mix_file=mix)
    with pytest.raises(ConfigError, match=r"no\.py does not exist"):
        convert(options, song, use_spk_mix=True, spk_mix_file="no.py")


def test_speakers_that_only_one_model_knows_may_rest(options, song, tmp_path):
    model, yaml = write_diffusion(tmp_path / "less", {"花子": 0})
    files = {"diffusion_model_path": str(model), "diffusion_config_path": str(yaml)}
    shallow = {"shallow_diffusion": True, "use_spk_mix": True, **files}
    mix = mix_file(tmp_path, anna=[[0, 1, 0, 0]], 花子=[[0, 1, 1, 1]])
    assert len(convert(options, song, spk_mix_file=mix, **shallow)) == round(1.5 * RATE)
    mix = mix_file(tmp_path, anna=[[0, 1, 1, 1]], 花子=[[0, 1, 1, 1]])
    with pytest.raises(ConfigError, match="does not know the speaker 'anna'"):
        convert(options, song, spk_mix_file=mix, **shallow)


@pytest.fixture(scope="module")
def clusters(tmp_path_factory):
    """A published k-means file of one voice: all its units are one point."""
    path = tmp_path_factory.mktemp("kmeans") / "kmeans_10000.pt"
    centres = torch.full((1, 12), 0.3)
    write_checkpoint(path, {"anna": {"n_features_in_": 12, "_n_threads": 4, "cluster_centers_": centres}})
    return str(path)


def watched(sing, seen):
    """Return ``sing`` that also notes what is sung."""

    def call(segment, report):
        seen.append(segment)
        return sing(segment, report)

    return call


def test_units_move_towards_the_clusters(options, song, clusters, monkeypatch):
    plain = convert(options, song)
    heard = {}
    for ratio in (0.0, 0.5, 1.0):
        changes = {"cluster_infer_ratio": ratio, "cluster_model_path": clusters}
        converter = Converter(dataclasses.replace(options, **changes))
        seen: list[Segment] = []
        monkeypatch.setattr(converter, "synthesize", watched(converter.synthesize, seen))
        converter.convert(song, song.with_name("r.wav"), "anna")
        heard[ratio] = seen[0].units
    np.testing.assert_allclose(heard[0.5], 0.5 * heard[0.0] + 0.15, atol=1e-5)
    np.testing.assert_allclose(heard[1.0], 0.3, atol=1e-6)
    np.testing.assert_array_equal(convert(options, song, cluster_model_path="not looked at"), plain)


def test_clusters_that_cannot_be_used(options, song, clusters, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="'花子'; it knows anna"):
        convert(options, song, "花子", cluster_infer_ratio=0.5, cluster_model_path=clusters)
    with pytest.raises(CheckpointError, match=r"kmeans_10000\.pt does not exist; make it with"):
        convert(options, song, cluster_infer_ratio=0.5)
    with pytest.raises(CheckpointError, match=r"feature_and_index\.pkl does not exist; make it with"):
        convert(options, song, cluster_infer_ratio=0.5, feature_retrieval=True)
    with pytest.raises(ConfigError, match="-cr must be between 0 and 1"):
        ConvertOptions(cluster_infer_ratio=1.5)


def test_clusters_are_off_in_a_mix(options, song, clusters, tmp_path, caplog):
    mix = mix_file(tmp_path, anna=[[0, 1, 1, 1]], 花子=[[0, 1, 1, 1]])
    changes = {"use_spk_mix": True, "spk_mix_file": mix}
    plain = convert(options, song, **changes)
    with_clusters = convert(options, song, cluster_infer_ratio=0.9, cluster_model_path=clusters, **changes)
    np.testing.assert_array_equal(with_clusters, plain)
    assert "-cr has no effect" in caplog.text


def test_the_result_follows_the_loudness_of_the_source(options, tmp_path, monkeypatch):
    """A random model sings at one level; with -lea 0 it swells as the source does."""
    monkeypatch.setattr("inference.output._gain", lambda *_: 1e-3)  # random weights roar
    swell = voice(6, RATE) * np.linspace(0.02, 1, 6 * RATE, dtype=np.float32)
    path = tmp_path / "swell.wav"
    soundfile.write(path, swell, RATE, subtype="FLOAT")

    def growth(**changes) -> float:
        audio = convert(options, path, slice_db=-80.0, **changes)
        ends = audio[RATE : 2 * RATE], audio[4 * RATE : 5 * RATE]
        return float(np.sqrt(np.mean(ends[1] ** 2) / np.mean(ends[0] ** 2)))

    true = float(np.sqrt(np.mean(swell[4 * RATE : 5 * RATE] ** 2) / np.mean(swell[RATE : 2 * RATE] ** 2)))
    own, followed = growth(), growth(loudness_envelope_adjustment=0.0)
    assert abs(np.log(followed / true)) < 0.5 * abs(np.log(own / true))
    cut = growth(loudness_envelope_adjustment=0.0, clip=1.3)
    assert abs(np.log(cut / followed)) < 0.2  # slices sing a little differently, at another level
