from pathlib import Path

import pytest
import yaml

from diffusion.config import DiffusionConfig, load_diffusion_config, parse_diffusion_config
from modules.common.errors import ConfigError
from tests.support.settings import WRONG_TYPES, numbers, out_of_range

TEMPLATES = sorted((Path(__file__).parents[2] / "configs_template").glob("diffusion*.yaml"))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_templates_are_read_whole(path):
    config, values = load_diffusion_config(path), yaml.safe_load(path.read_text(encoding="utf-8"))
    assert config.data.hop_length == values["data"]["block_size"]
    assert config.data.speech_encoder == values["data"]["encoder"]
    assert config.data.ssl_dim == values["data"]["encoder_out_channels"]
    assert config.data.duration == 2.0 and config.device == ""
    assert DiffusionConfig.unused_settings(values) == []
    for section in ("model", "vocoder", "infer", "env", "train"):
        for key, value in values[section].items():
            assert getattr(getattr(config, section), key) == value, key


def test_missing_and_empty_keys_have_defaults_and_unknown_ones_are_ignored():
    assert parse_diffusion_config({}) == parse_diffusion_config(
        {"model": {"k_step_max": None, "n_heads": 8}, "spk": None, "naive": 1, "device": None}
    )
    set_ = {"encoder_hop_size": 160, "extensions": ["flac"], "encoder_sample_rate": 16000}
    unused = DiffusionConfig.unused_settings({"data": set_, "model": {"n_heads": 8}, "naive": 1})
    assert unused == ["data.encoder_hop_size", "data.extensions", "model.n_heads"]
    config = parse_diffusion_config({})
    assert config.model.timesteps == 1000 and config.model.max_steps == 1000 and not config.model.shallow_only
    # a k_step_max below timesteps is a shallow model
    for k_step_max, shallow in ((99, True), (100, False)):
        model = parse_diffusion_config({"model": {"timesteps": 100, "k_step_max": k_step_max}}).model
        assert model.max_steps == k_step_max and model.shallow_only == shallow


def test_files_of_diffusion_svc_and_numbers_that_yaml_takes_for_text():
    values = yaml.safe_load("{train: {lr: 1e-4, unit_noise: 1.5e-1, gamma: 1}, env: {expdir: 1e5}}")
    assert values["train"]["lr"] == "1e-4"
    config = parse_diffusion_config(values)
    assert config.train.lr == 1e-4 and config.train.unit_noise == 0.15 and config.train.gamma == 1.0
    assert config.env.expdir == "1e5"
    config = parse_diffusion_config(
        {
            "data": {"encoder": "contentvec768l12", "units_forced_mode": "left", "f0_extractor": "crepe"},
            "model": {"type": "Diffusion", "n_spk": 3, "k_step_max": 100},
            "infer": {"method": "dpm-solver", "speedup": 10},
        }
    )
    assert config.data.speech_encoder == "vec768l12" and config.data.unit_interpolate_mode == "left"
    assert config.infer.method == "dpm-solver++"  # what that project means by it
    assert config.model.timesteps == 1000
    assert parse_diffusion_config({"infer": {"method": "dpm-solver"}}).infer.method == "dpm-solver"


@pytest.mark.parametrize(("section", "name"), numbers(DiffusionConfig))
def test_every_number_has_a_range_that_is_checked(section, name, tmp_path):
    path = tmp_path / "diffusion.yaml"
    for value in [*out_of_range(section, name), *WRONG_TYPES]:
        path.write_text(yaml.safe_dump({section.section: {name: value}}))
        with pytest.raises(ConfigError) as refusal:
            load_diffusion_config(path)
        assert str(refusal.value).startswith(f"{path}: {section.section}.{name} must ")
        assert "\n" not in str(refusal.value) and ", not " in str(refusal.value)


def test_speakers_by_name_or_number():
    config = parse_diffusion_config({"model": {"n_spk": 2}, "spk": {"a": 0, 7: 1}})
    assert config.speaker_id("a") == 0 and config.speaker_id("7") == 1 and config.speaker_id(1) == 1
    with pytest.raises(ConfigError, match="no speaker 'b'"):
        config.speaker_id("b")


def test_refusals_name_the_key():
    for values, message in [
        ({"model": {"k_step_max": 1001}}, "model.k_step_max must be below model.timesteps, 1000"),
        ({"model": {"n_chans": 5}}, "model.n_chans must be an even number"),
        ({"model": {"type": "VAE"}}, "model.type 'VAE' is unknown; use Diffusion or ReFlow"),
        ({"model": {"t_distribution": "x"}}, "model.t_distribution"),
        ({"infer": {"method": "nonsense"}}, "infer.method: 'nonsense' .* dpm-solver"),
        ({"infer": {"method": "ancestral"}}, "infer.method: .*speedup 1"),
        ({"infer": {"method": "ddim"}, "model": {"type": "ReFlow"}}, "infer.method: .*euler, rk4"),
        ({"train": {"amp_dtype": "fp8"}}, "train.amp_dtype 'fp8' is unknown; use fp32, fp16 or bf16"),
        ({"train": {"lr": "fast"}}, "train.lr must be of type float and be above 0 and finite, not 'fast'"),
        ({"train": {"seed": 16**5000}}, "train.seed .*digits"),
        ({"data": {"unit_interpolate_mode": "rfa"}}, "unit_interpolate_mode 'rfa' is unknown"),
        ({"data": [1]}, "section 'data'"),
        ({"spk": {"a": 1}}, "spk.a is 1, but model.n_spk is 1"),
        ({"spk": ["a"]}, "section 'spk'"),
    ]:
        with pytest.raises(ConfigError, match=message):
            parse_diffusion_config(values)


def test_a_file_that_is_missing_or_no_yaml_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"diffusion\.yaml does not exist; preprocess_flist_config"):
        load_diffusion_config(tmp_path / "diffusion.yaml")
    broken = tmp_path / "broken.yaml"
    for text in ("a: [1", "x: !!python/object/apply:os.system ['echo']", "just text", ""):
        broken.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match=r"broken\.yaml") as refusal:
            load_diffusion_config(broken)
        assert "\n" not in str(refusal.value)
