import json

import pytest

from modules.common.errors import ConfigError
from modules.config import Config, ModelConfig, TrainConfig, load_config, parse_config


def test_published_spellings_and_unknown_keys_are_accepted():
    config = parse_config(
        {
            "train": {"learning_rate": 1, "betas": [0.8, 0.99], "half_type": "fp16", "port": "8001"},
            "data": {"filter_length": 1024, "n_mel_channels": 80, "mel_fmin": 20, "mel_fmax": 8000},
            "model": {
                "use_crn_pre ": True,
                "upsample_rates": [8, 8, 2, 2, 2],
                "n_speakers": 2,
                "inter_channels": 80,
            },
            "spk": {"甲": 0, "b": 1},
        }
    )
    assert config.train.learning_rate == 1.0 and config.train.betas == (0.8, 0.99)
    assert (config.data.n_fft, config.data.n_mels, config.data.f_min, config.data.f_max) == (
        1024,
        80,
        20,
        8000,
    )
    assert config.model.use_crn_pre
    assert config.spk == {"甲": 0, "b": 1}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"train": {"batch_size": "six"}}, "train.batch_size"),
        ({"train": {"batch_size": 0}}, "train.batch_size"),
        ({"train": {"batch_size": 2.5}}, "train.batch_size"),
        ({"train": {"keep_ckpts": -1}}, "train.keep_ckpts must not be below 0"),
        ({"train": {"patience": -1}}, "train.patience must not be below 0"),
        ({"train": {"ema_decay": 1.5}}, "train.ema_decay must be between 0 and 1"),
        ({"train": {"perturb_ratio": 7}}, "train.perturb_ratio must be between 0 and 1"),
        ({"train": {"fp16_run": 1}}, "train.fp16_run"),
        ({"train": {"betas": [0.8]}}, "train.betas"),
        ({"train": {"scheduler": "exponential"}}, "noam or cosine"),
        ({"train": {"scheduler": "cosine"}}, "max_steps"),
        ({"train": {"half_type": "fp8"}}, "half_type"),
        ({"data": {"unit_interpolate_mode": "cubic"}}, "unit_interpolate_mode"),
        ({"model": {"hidden_channels": 33}}, "n_heads"),
        ({"model": {"n_speakers": 1}, "spk": {"a": 1}}, "spk.a"),
        ({"data": {"n_mel_channels": 80}}, "model.inter_channels is 128, but data.n_mel_channels is 80"),
        ({"model": []}, "model"),
        ({"spk": ["a"]}, "spk"),
    ],
)
def test_a_bad_value_is_named(values, named):
    with pytest.raises(ConfigError, match=named):
        parse_config(values)


def test_a_port_may_be_a_number():
    assert parse_config({"train": {"port": 8123}}).train.port == "8123"


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
    path.write_text("{")
    with pytest.raises(ConfigError, match=r"config\.json.*JSON"):
        load_config(path)
    path.write_text(json.dumps({"train": {"seed": "x"}}))
    with pytest.raises(ConfigError, match=r"config\.json.*train\.seed"):
        load_config(path)


@pytest.mark.parametrize("best_by", ["similarity", "dnsmos_ovrl"])
def test_a_model_is_chosen_by_a_judge_only_if_he_always_hears_it(best_by):
    for every in (0, 2):
        with pytest.raises(ConfigError, match=f"train.best_by {best_by} needs train.score_every 1"):
            TrainConfig(best_by=best_by, score_every=every)
    assert TrainConfig(best_by=best_by, score_every=1).best_by == best_by
    assert TrainConfig(best_by="mcd").best_by == "mcd"
