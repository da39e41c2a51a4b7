"""Conversions with clusters, an index, a speaker mix, and the loudness of the source."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from inference.converter import Converter
from inference.pipeline import Segment
from modules.checkpoint import write_checkpoint
from modules.common.errors import CheckpointError, ConfigError
from tests.inference.tiny import RATE, convert, write_diffusion, write_song
from tests.support.golden_cases import voice


@pytest.fixture
def mix(tmp_path):
    """Write the tracks of a mix; return the options that use it."""

    def write(**tracks):
        path = tmp_path / "混ぜ.json"
        path.write_text(json.dumps(tracks), encoding="utf-8")
        return {"use_spk_mix": True, "spk_mix_file": str(path)}

    return write


@pytest.fixture
def half_each(mix):
    return mix(anna=[[0, 0.5, 1, 1], [0.5, 1, 0, 0]], 花子=[[0, 0.5, 0, 0], [0.5, 1, 1, 1]])


def segments_of(options, song) -> list[Segment]:
    """What is synthesized in a conversion."""
    converter, seen = Converter(options), []
    synthesize = converter.synthesize
    converter.synthesize = lambda segment, report: seen.append(segment) or synthesize(segment, report)
    converter.convert(song, song.with_name("r.wav"), "anna")
    return seen


@pytest.mark.parametrize("mode", [{}, {"shallow_diffusion": True}, {"only_diffusion": True}], ids=str)
def test_a_mix_of_one_is_that_one(options, song, mix, mode):
    """Glow, diffusion and both: shares of 0 and 1 give what an id gives."""
    one = mix(anna=[[0, 1, 0, 0]], 花子=[[0, 1, 3, 3]])
    mixed = convert(options, song, **one, **mode)
    alone = convert(options, song, "花子", **mode)
    # a product with shares is summed in another order than a row is looked up
    np.testing.assert_allclose(mixed, alone, atol=2e-3 * np.abs(alone).max())


@pytest.mark.parametrize("rate", [8000, 48000])
def test_a_mix_goes_by_the_song_whatever_its_rate(options, tmp_path, half_each, rate):
    """PITFALLS 44: the voice changes in the middle of the song, at the frame of the model's rate."""
    path = write_song(tmp_path / "song.flac", voice(1.5, rate), rate)
    (segment,) = segments_of(replace(options, **half_each, pad_seconds=0.0), path)
    n_frames, shares = -(-round(1.5 * RATE) // 512), segment.speaker
    assert abs(len(shares) - n_frames) <= 1
    assert set(np.unique(shares)) == {0.0, 1.0}
    (change,) = np.flatnonzero(np.diff(shares[:, 1]) == 1)
    assert abs(change - n_frames // 2) <= 1 and shares[0, 0] == shares[-1, 1] == 1


def test_speakers_that_only_one_model_knows_may_rest(options, song, tmp_path, mix):
    model, yaml = write_diffusion(tmp_path / "less", {"花子": 0})
    files = {"diffusion_model_path": str(model), "diffusion_config_path": str(yaml)}
    shallow = replace(options, shallow_diffusion=True, **files)
    audio = convert(shallow, song, **mix(anna=[[0, 1, 0, 0]], 花子=[[0, 1, 1, 1]]))
    assert len(audio) == round(1.5 * RATE)
    with pytest.raises(ConfigError, match="does not know the speaker 'anna'"):
        convert(shallow, song, **mix(anna=[[0, 1, 1, 1]], 花子=[[0, 1, 1, 1]]))


@pytest.fixture(scope="module")
def clusters(tmp_path_factory):
    """A published k-means file of one voice: all its units are one point."""
    path = tmp_path_factory.mktemp("kmeans") / "kmeans_10000.pt"
    centres = torch.full((1, 12), 0.3)
    write_checkpoint(path, {"anna": {"n_features_in_": 12, "_n_threads": 4, "cluster_centers_": centres}})
    return str(path)


def test_units_move_towards_the_clusters_but_not_in_a_mix(options, song, clusters, half_each, caplog):
    none, half, all_of_it = (
        segments_of(replace(options, cluster_infer_ratio=ratio, cluster_model_path=clusters), song)[0].units
        for ratio in (0.0, 0.5, 1.0)
    )
    np.testing.assert_allclose(half, 0.5 * none + 0.15, atol=1e-5)
    np.testing.assert_allclose(all_of_it, 0.3, atol=1e-6)
    unread = replace(options, cluster_model_path="ignored at ratio 0")
    np.testing.assert_array_equal(segments_of(unread, song)[0].units, none)
    plain = convert(options, song, **half_each)
    clustered = {"cluster_infer_ratio": 0.9, "cluster_model_path": clusters}
    np.testing.assert_array_equal(convert(options, song, **clustered, **half_each), plain)
    assert "-cr has no effect" in caplog.text


def test_mixes_and_clusters_that_cannot_be_used(options, song, mix, clusters, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    half = {"cluster_infer_ratio": 0.5}
    for changes, error, message in (
        (mix(anna=[[0, 0.9, 1, 1]], 花子=[[0, 1, 0, 0]]), ConfigError, "anna.*segment 1.*must end at 1"),
        ({"use_spk_mix": True, "spk_mix_file": "no.py"}, ConfigError, r"no\.py does not exist"),
        ({**half, "cluster_model_path": clusters}, CheckpointError, "no speaker '花子'; it has anna"),
        (half, CheckpointError, r"kmeans_10000\.pt does not exist; make it with"),
        (
            {**half, "feature_retrieval": True},
            CheckpointError,
            r"feature_and_index\.pkl does not exist; make",
        ),
    ):
        with pytest.raises(error, match=message):
            convert(options, song, "花子", **changes)


def test_the_result_follows_the_loudness_of_the_source(options, tmp_path):
    """A random model renders at one level; with -lea 0 it swells as the source does."""
    swell = voice(6, RATE) * np.linspace(0.02, 1, 6 * RATE, dtype=np.float32)
    path = write_song(tmp_path / "swell.wav", swell, subtype="FLOAT")

    def growth(audio) -> float:
        ends = audio[RATE : 2 * RATE], audio[4 * RATE : 5 * RATE]
        return float(np.log(np.mean(ends[1] ** 2) / np.mean(ends[0] ** 2)) / 2)

    own, followed, cut = (
        growth(convert(options, path, slice_db=-80.0, **changes))
        for changes in (
            {},
            {"loudness_envelope_adjustment": 0.0},
            {"loudness_envelope_adjustment": 0.0, "clip": 1.3},
        )
    )
    assert abs(followed - growth(swell)) < 0.5 * abs(own - growth(swell))
    assert abs(cut - followed) < 0.2  # slices differ a little, at another level
