import json
from dataclasses import replace

import pytest

from modules.common.errors import ConfigError
from modules.config import Config, ModelConfig, TrainConfig, load_config, parse_config
from tests.support.settings import WRONG_TYPES, numbers, out_of_range


def test_published_spellings_and_unknown_keys_are_accepted():
    config = parse_config(
        {
            "train": {"learning_rate": 1, "betas": [0.8, 0.99], "half_type": "fp16", "port": "8001"},
            "data": {"filter_length": 1024, "n_mel_channels": 80, "mel_fmin": 20, "mel_fmax": 8000},
            "model": {
                "use_crn_pre ": True,
                "upsample_rates": [8, 8, 2, 2, 2],
                "n_speakers": 2.0,
                "inter_channels": 80,
            },
            "spk": {"甲": 0, "b": 1},
        }
    )
    data = config.data
    assert config.train.learning_rate == 1.0 and config.train.betas == (0.8, 0.99)
    assert (data.n_fft, data.n_mels, data.f_min, data.f_max) == (1024, 80, 20, 8000)
    assert config.model.use_crn_pre and config.spk == {"甲": 0, "b": 1}
    published = {"train": {"c_mel": 45, "c_kl": 1.0, "segment_size": 10240}, "model": {"use_crn_pre ": 1}}
    assert Config.unused_settings(published) == ["train.segment_size"]
    assert Config.unused_settings({"train": {"c_mel": 1}, "own": {"x": 1}}) == ["train.c_mel"]
    assert parse_config({"train": {"port": 8123}}).train.port == "8123"


@pytest.mark.parametrize(("section", "name"), numbers(Config))
def test_every_number_has_a_range_that_is_checked(section, name, tmp_path):
    path = tmp_path / "config.json"
    for value in [*out_of_range(section, name), *WRONG_TYPES, None]:
        path.write_text(json.dumps({section.section: {name: value}}))
        with pytest.raises(ConfigError) as refusal:
            load_config(path)
        assert str(refusal.value).startswith(f"{path}: {section.section}.{name} must ")
        assert "\n" not in str(refusal.value) and ", not " in str(refusal.value)


def test_a_bad_value_is_named_also_by_constructors_and_replace():
    for values, message in [
        (
            {"train": {"batch_size": "six"}},
            "train.batch_size must be of type int and be above 0 .*, not 'six'",
        ),
        ({"train": {"keep_ckpts": -1}}, "train.keep_ckpts must not be below 0 or above 2147483647, not -1"),
        ({"train": {"seed": 10**20}}, "train.seed must be between 0 and 9223372036854775807, not 1000"),
        ({"train": {"learning_rate": 10**400}}, "must be above 0 and finite, not 1000"),
        ({"train": {"betas": [0.8]}}, r"train.betas must be of type tuple\[float, float\] .* not \[0.8\]"),
        ({"train": {"fp16_run": 1}}, "train.fp16_run must be of type bool, not 1"),
        ({"train": {"port": True}}, "train.port must be of type str"),
        ({"train": {"scheduler": "exponential"}}, "noam or cosine"),
        ({"train": {"scheduler": "cosine"}}, "max_steps"),
        ({"train": {"best_by": "similarity"}}, "train.best_by similarity needs train.score_every 1"),
        ({"train": {"best_by": "dnsmos_ovrl", "score_every": 2}}, "dnsmos_ovrl needs train.score_every 1"),
        ({"train": {"half_type": "fp8"}}, "train.half_type 'fp8' is unknown; use fp16 or bf16"),
        ({"data": {"unit_interpolate_mode": "cubic"}}, "unit_interpolate_mode 'cubic'"),
        ({"data": {"mel_fmin": 8000, "mel_fmax": 8000}}, "data.mel_fmin 8000 is not below data.mel_fmax"),
        ({"data": {"n_mel_channels": 80}}, "model.inter_channels is 128, but data.n_mel_channels is 80"),
        ({"model": {"hidden_channels": 33}}, "n_heads"),
        ({"model": {"inter_channels": 129}, "data": {"n_mel_channels": 129}}, "multiple of 4"),
        ({"model": {"n_speakers": 1}, "spk": {"a": 1}}, "spk.a is 1, but model.n_speakers is 1"),
        ({"spk": {"a": True}}, "spk.a must be of type int"),
        ({"f0_range": {"a": [1, 2, float("inf")]}}, "f0_range.a must be between 0 and 100000, not inf"),
        ({"f0_range": []}, "section 'f0_range'"),
        ({"fine_tuning": []}, "section 'fine_tuning'"),
        ({"fine_tuning": {"unit_noise": -1}}, "fine_tuning: train.unit_noise must be at least 0"),
        (
            {"fine_tuning": {"seed": 1}},
            "fine_tuning.seed is unknown; it may hold learning_rate, perturb_ratio",
        ),
        ({"model": []}, "section 'model'"),
        ({"spk": ["a"]}, "section 'spk'"),
        *(({"spk": {name: 0}}, "not a line of text") for name in ("a\nb", "\x1b[2J", "a\x00", "\ud800")),
    ]:
        with pytest.raises(ConfigError, match=message):
            parse_config(values)
    with pytest.raises(ConfigError, match="train.seed must be between 0"):
        TrainConfig(seed=-1)
    with pytest.raises(ConfigError, match="model.p_dropout must be at least 0 and below 1, not 1.5"):
        replace(ModelConfig(), p_dropout=1.5)


def test_speakers_go_by_name_or_id():
    config = Config(spk={"a": 0, "7": 3}, model=ModelConfig(n_speakers=4))
    assert [config.speaker_id(s) for s in ("a", 0, "0", "7", 3, "3")] == [0, 0, 0, 3, 3, 3]
    assert config.speaker_name(3) == "7"
    for unknown in ("b", 4, "4", -1, "1"):
        with pytest.raises(ConfigError, match="a \\(0\\)"):
            config.speaker_id(unknown)


def test_unreadable_files_are_named(tmp_path):
    path = tmp_path / "config.json"
    with pytest.raises(ConfigError, match="does not exist.*preprocess_flist_config.*train"):
        load_config(path)  # it may be the one in configs/ or the one beside a model
    for text, message in [
        ("{", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        (f'{{"train": {{"seed": {"1" * 5000}}}}}', "cannot be read as JSON"),
        ("[]", "is not a JSON object"),
    ]:
        path.write_text(text)
        with pytest.raises(ConfigError, match=rf"config\.json.*{message}"):
            load_config(path)
