import json

import numpy as np
import pytest
import torch

from benchmarks.vocoding import PUBLISHED, Plain, load_random
from modules.common.errors import CheckpointError, ConfigError, MissingWeightsError
from tests.support.golden_cases import load_case, signal
from tests.support.published import write_vocoder
from tests.vdecoder.test_contract import reduced_data
from vdecoder import VOCODERS
from vdecoder.generator import Generator, GeneratorConfig
from vdecoder.layers import fold_all
from vdecoder.nsf_hifigan import NsfHifigan

DATA = reduced_data(load_case("nsf_hifigan").manifest["config"]["reduced"])


def build(folder, case="nsf_hifigan", **options):
    config = load_case(case).manifest["config"]["reduced"]
    return NsfHifigan(reduced_data(config), "cpu", weights=write_vocoder(case, folder), **options)


@pytest.mark.parametrize("case_name", ["nsf_hifigan", "nsf_hifigan_resblock2"])
def test_parity_of_the_network_with_and_without_its_source(tmp_path, case_name):
    case, network = load_case(case_name), build(tmp_path, case_name).network
    f0 = torch.from_numpy(case["f0"])
    batch, n_frames = f0.shape
    n_samples = n_frames * network.config.hop_length
    mel = torch.from_numpy(signal(f"{case_name}.mel", (batch, 16, n_frames)))
    excitation = torch.from_numpy(signal(f"{case_name}.excitation", (batch, n_samples, 1), 0.1))[..., 0]
    given, own = network(mel, excitation), network(mel, network.m_source(f0, n_samples // n_frames, 44100))
    np.testing.assert_allclose(given, case["wave_given_excitation"][:, 0], rtol=0, atol=2e-5)
    np.testing.assert_allclose(own, case["wave_no_noise"][:, 0], rtol=0, atol=2e-5)


@pytest.mark.parametrize(("vocoder", "name"), [("nsf-hifigan", "natural"), ("nsf-hifigan-log10", "log10")])
def test_parity_of_the_mel_scale(tmp_path, vocoder, name):
    case = load_case("nsf_hifigan_log10")
    vocoder = build(tmp_path, **VOCODERS[vocoder].kwargs)
    seen = []

    def forward(mel, excitation):
        seen.append(mel)
        return torch.zeros_like(excitation)

    vocoder.n_mels, vocoder.network.forward = 4, forward
    mel = torch.from_numpy(signal("log10.mel", (1, 10, 4), 2.0))[0].mT
    vocoder.synthesize(mel, torch.full((10,), 220.0), torch.ones(10))
    np.testing.assert_allclose(seen[0], case[f"generator_input_{name}"], rtol=0, atol=1e-6)


def test_parity_of_names_and_shapes_at_the_published_size():
    case = load_case("nsf_hifigan")
    config = GeneratorConfig.read(json.loads(json.dumps(case.manifest["config"]["published"])), "config.json")
    assert config == PUBLISHED
    with torch.device("meta"):
        network = Generator(config)
    got = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    assert got == {name: shape for name, (shape, _) in case.manifest["default_state_dict"].items()}


def test_pieces_join_exactly(tmp_path):
    network = build(tmp_path).network
    mel = torch.from_numpy(signal("mel", (1, 16, 40)))
    excitation = torch.from_numpy(signal("excitation", (1, 40 * 64), 0.1))
    whole = network(mel, excitation, piece=40)
    for piece in (1, 2, 5, 39):
        # float32 rounding alone: convolutions of other lengths use other algorithms
        torch.testing.assert_close(network(mel, excitation, piece=piece), whole, rtol=0, atol=2e-6)
    lengths = []
    network.resblocks[-1].register_forward_hook(lambda module, inputs, out: lengths.append(out.shape[3]))
    network(mel, excitation, piece=5)
    assert len(lengths) == 8 and max(lengths) < 7 * 64
    lengths.clear()
    network(mel, excitation, piece=39)
    assert lengths[0] == lengths[1], "not 39 frames and then one, which would be mostly context"


def test_the_benchmark_s_baseline_gives_the_same_sound():
    config = GeneratorConfig.read(load_case("nsf_hifigan").manifest["config"]["reduced"], "")
    network = Generator(config)
    load_random(network)
    plain = Plain(network)
    mel, excitation = (torch.from_numpy(signal(*what)) for what in (("mel", (1, 16, 20)), ("e", (1, 1280))))
    wanted = plain(mel, excitation)
    assert 0.05 < wanted.std() < 0.9, "neither silent nor saturated"
    fold_all(network)
    torch.testing.assert_close(network(mel, excitation), wanted, rtol=0, atol=2e-6)


def test_unusable_configurations_are_refused_by_name(tmp_path):
    path = write_vocoder("nsf_hifigan", tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    for changes, complaint in (
        ({"num_mels": 80}, "num_mels 80.*n_mels 16"),
        ({"hop_size": 256}, "hop_size 256.*hop_length 64"),
        ({"sampling_rate": 22050}, "sampling_rate 22050.*sampling_rate 44100"),
        ({"n_fft": 1024}, "n_fft 1024.*n_fft 256"),
        ({"win_size": 1024}, "win_size 1024.*win_length 256"),
        ({"fmin": 0}, "fmin 0.*f_min 40.0"),
        ({"fmax": 8000}, "fmax 8000.*f_max 16000.0"),
        ({"fmax": None}, "fmax None.*f_max 16000.0"),
        ({"upsample_rates": [8, 4, 4]}, "128 samples"),
        ({"upsample_rates": [8, 8]}, "differ in length"),
        ({"upsample_rates": "8,4,2"}, "upsample_rates"),
        ({"upsample_kernel_sizes": [16, 8, 1]}, "upsampling kernel"),
        ({"upsample_initial_channel": 1 << 40}, "upsample_initial_channel"),
        ({"upsample_initial_channel": 36}, "halved"),
        ({"resblock_kernel_sizes": [3, 8]}, "odd"),
        ({"resblock_dilation_sizes": [[1, 3, 5]]}, "one list"),
        ({"resblock_dilation_sizes": [[1, 3, 5], [1, 3]]}, "3 dilations"),
        ("resblock", "lacks resblock"),
        ("[1, 2]", r"config\.json"),
        ("{", r"config\.json"),
        ("\0", r"config\.json"),
    ):
        if changes == "resblock":
            changes = json.dumps({key: value for key, value in values.items() if key != "resblock"})
        text = changes if isinstance(changes, str) else json.dumps(values | changes)
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(ConfigError, match=complaint):
            NsfHifigan(DATA, weights=path)


def test_unusable_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path / "empty"))
    with pytest.raises(MissingWeightsError, match="python -m pretrain nsf-hifigan"):
        NsfHifigan(DATA)
    path = write_vocoder("nsf_hifigan", tmp_path)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"upsample_initial_channel": 64}))
    with pytest.raises(CheckpointError, match="wanted"):
        NsfHifigan(DATA, weights=path)
    torch.save({"model": {"pre.weight": torch.zeros(1)}, "iteration": 3}, path)
    with pytest.raises(CheckpointError):
        NsfHifigan(DATA, weights=path)
    config.unlink()
    with pytest.raises(MissingWeightsError, match=r"config\.json is missing"):
        NsfHifigan(DATA, weights=path)


def test_sizes_beyond_the_file_are_refused_before_they_take_memory(tmp_path):
    path = write_vocoder("nsf_hifigan", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "upsample_initial_channel": 65536}))
    with pytest.raises(CheckpointError, match="does not fit its configuration, which describes a larger"):
        NsfHifigan(DATA, "cpu", weights=path)
    (tmp_path / "config.json").write_text("[" * 900 + "]" * 900)
    with pytest.raises(ConfigError, match="nests lists or tables too deeply"):
        NsfHifigan(DATA, "cpu", weights=path)
